// What Node serves in `bench.keepalive`, with all of its defaults: notes what it has seen, and GET /seen tells it.
"use strict";
const http = require("http");
const seen = [];
http.createServer((request, response) => {
  request.resume();
  request.on("end", () => {
    const line = request.method + " " + request.url;
    let body = "ok";
    if (line === "GET /seen") body = JSON.stringify(seen);
    else seen.push(line);
    response.setHeader("Content-Length", Buffer.byteLength(body));
    response.end(body);
  });
}).listen(Number(process.argv[2]), "127.0.0.1", 4096);
