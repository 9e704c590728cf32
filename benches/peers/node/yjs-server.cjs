// The server that comes with y-websocket, on a free port. It takes yjs in its form for `require`, and no other may be loaded beside that.

const http = require("node:http").createServer();
const { WebSocketServer } = require("ws");
const { setupWSConnection } = require("y-websocket/bin/utils");

new WebSocketServer({ server: http }).on("connection", setupWSConnection);
http.listen(0, "127.0.0.1", () => console.log(JSON.stringify({ url: `ws://127.0.0.1:${http.address().port}` })));
