// Runs a JavaScript program and then its tests: node node_harness.js PROGRAM. The conversation over descriptor 3 is
// languages.py's. What the harness needs once the program has run, it holds in constants from before.
"use strict";
const assert = require("node:assert");
const { readFileSync, readSync, writeSync } = require("node:fs");
const { runInThisContext } = require("node:vm");
const { alloc } = Buffer;
const { defineProperties, defineProperty, getOwnPropertyDescriptors } = Object;
const decoder = new TextDecoder();
const decode = decoder.decode.bind(decoder);
const loaded = require;

const channel = 3;
const code = readFileSync(process.argv[2], "utf8");
process.argv.length = 2;
const kept = getOwnPropertyDescriptors(assert);

function ask(what, length) {
  writeSync(channel, what + "\n");
  const told = alloc(length);
  for (let there = 0; there < length; ) {
    const count = readSync(channel, told, there, length - there, null);
    if (!count) throw new Error("the sandbox does not answer");
    there += count;
  }
  return decode(told);
}

// What a CommonJS module sees. `require` can be neither replaced nor hidden, and always finds the assert of here.
defineProperty(globalThis, "require", {
  value: (name) => (name === "assert" || name === "node:assert" ? assert : loaded(name)),
});
globalThis.module = { exports: {} };
globalThis.exports = globalThis.module.exports;

ask("started", 0);
runInThisContext(code, { filename: "program.js" });
defineProperties(assert, kept);
const tests = ask("tests", +ask("length", 8));
runInThisContext(tests, { filename: "tests.js" });
writeSync(channel, ask("token", 32) + "\n");
