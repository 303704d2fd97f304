// Go's reverse proxy as its documentation shows it, with an idle pool as large as the other peers'.
package main

import (
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
)

func main() {
	target, err := url.Parse("http://" + os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.Transport = &http.Transport{MaxIdleConns: 0, MaxIdleConnsPerHost: 256}
	log.Fatal(http.ListenAndServe(os.Args[1], proxy))
}
