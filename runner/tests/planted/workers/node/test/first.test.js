// One test file listens on a port until the other's listener was refused.
const { test } = require("node:test");
const net = require("node:net");
const { tell, hear } = require("../meeting.js");

test("listens", async () => {
  const server = net.createServer();
  await new Promise((done) => server.listen(Number(process.env.PLANTED_PORT), "127.0.0.1", done));
  tell("listening");
  await hear("refused");
  server.close();
});
