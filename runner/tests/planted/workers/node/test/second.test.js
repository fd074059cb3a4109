const { test } = require("node:test");
const net = require("node:net");
const { tell, hear } = require("../meeting.js");

test("is refused", async () => {
  await hear("listening");
  const server = net.createServer();
  await new Promise((done) => {
    server.on("error", done);
    server.listen(Number(process.env.PLANTED_PORT), "127.0.0.1");
  });
  tell("refused");
});
