// goproxy is the reverse proxy of Go's standard library with nothing around it: the peer "go" of the benchmark.
package main

import (
	"flag"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:8080", "address to listen on")
	to := flag.String("to", "127.0.0.1:8081", "address of the endpoint")
	flag.Parse()

	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: *to})
	// The default of 2 idle connections per host would make it dial for almost every request.
	proxy.Transport = &http.Transport{MaxIdleConnsPerHost: 256, DisableCompression: true}
	log.Fatal(http.ListenAndServe(*listen, proxy))
}
