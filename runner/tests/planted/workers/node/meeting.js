// What one process tells, the other hears.
const fs = require("node:fs");
const path = require("node:path");

const place = (what) => path.join(process.env.PARASUITE_COPY_DIR, what);

exports.tell = (what) => fs.writeFileSync(place(what), "");
exports.hear = async (what) => {
  while (!fs.existsSync(place(what))) await new Promise((done) => setTimeout(done, 5));
};
