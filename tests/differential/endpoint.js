// Node's HTTP server as an endpoint: notes every request that is complete; GET /seen tells them and forgets.
"use strict";
const crypto = require("crypto");
const http = require("http");

let seen = [];

const server = http.createServer((request, response) => {
  const pieces = [];
  request.on("data", (piece) => pieces.push(piece));
  request.on("end", () => {
    let told = "";
    if (request.url === "/seen") {
      told = JSON.stringify(seen);
      seen = [];
    } else {
      const body = Buffer.concat(pieces);
      const digest = crypto.createHash("sha256").update(body).digest("hex");
      seen.push([request.method, request.url, request.headers.host || "", `${body.length} ${digest}`]);
    }
    response.writeHead(200, { "Content-Length": Buffer.byteLength(told) });
    response.end(told);
  });
});
server.keepAliveTimeout = 60000;
server.listen(Number(process.argv[2]), "127.0.0.1");
