// SPDX-License-Identifier: Apache-2.0

// Compiles the contracts of one directory with solc and writes one artifact for each to another. Settings are fixed and the
// metadata hash is left out of the bytecode, so that the same sources give the same bytes anywhere.
//
// usage: node compile.js <sources> <node_modules> <out>
"use strict";

const fs = require("fs");
const path = require("path");

const [sourceDir, modules, outDir] = process.argv.slice(2);
if (!outDir) {
  console.error("usage: node compile.js <sources> <node_modules> <out>");
  process.exit(64);
}
const solc = require(path.resolve(modules, "solc"));

const settings = {
  optimizer: { enabled: true, runs: 200 },
  evmVersion: "cancun",
  metadata: { bytecodeHash: "none", appendCBOR: false },
};
const names = ["TestToken", "Escrow"];
const sources = {};
for (const name of names) {
  sources[`${name}.sol`] = { content: fs.readFileSync(path.join(sourceDir, `${name}.sol`), "utf8") };
}
const output = JSON.parse(
  solc.compile(
    JSON.stringify({
      language: "Solidity",
      sources,
      settings: { ...settings, outputSelection: { "*": { "*": ["abi", "evm.bytecode.object", "evm.deployedBytecode.object"] } } },
    }),
    { import: (file) => ({ contents: fs.readFileSync(path.join(modules, file), "utf8") }) },
  ),
);
const faults = (output.errors || []).filter((e) => e.severity !== "info");
if (faults.length > 0) {
  for (const f of faults) console.error(f.formattedMessage);
  process.exit(1);
}
for (const name of names) {
  const c = output.contracts[`${name}.sol`][name];
  const artifact = {
    contract: name,
    compiler: solc.version(),
    settings,
    abi: c.abi,
    bytecode: `0x${c.evm.bytecode.object}`,
    deployedBytecode: `0x${c.evm.deployedBytecode.object}`,
  };
  fs.writeFileSync(path.join(outDir, `${name}.json`), `${JSON.stringify(artifact, null, 2)}\n`);
}
