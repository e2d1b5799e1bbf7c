// Prints what n8n's own nodes need and `npm install --legacy-peer-deps` left out: one `name@range` a line.
//
//   node missing_modules.cjs FOLDER
//
// Every node and credential of n8n's two packages is loaded. A module that isn't found is some package's peer
// dependency: whose, and in which range, that package's own description says. Exit status 1 when it doesn't.
'use strict';
const fs = require('node:fs');
const path = require('node:path');

const modules = path.resolve(process.argv[2], 'node_modules');
const wanted = new Map();
const unknown = [];

const describe = (file) => {
	for (let folder = path.dirname(file); folder.startsWith(modules); folder = path.dirname(folder)) {
		const description = path.join(folder, 'package.json');
		if (!fs.existsSync(description)) continue;
		const found = JSON.parse(fs.readFileSync(description, 'utf8'));
		if (found.name) return found;
	}
	return {};
};

const note = (error, file) => {
	const match = /^Cannot find (?:module|package) '((?:@[^/']+\/)?[^/'.][^/']*)/.exec(error.message);
	if (!match) return; // it is there, and doesn't work: not ours to mend
	const asked = describe(error.requireStack?.[0] ?? file);
	const range = asked.peerDependencies?.[match[1]];
	if (range) wanted.set(match[1], range);
	else unknown.push(`${path.basename(file)}: ${match[1]}, which ${asked.name} doesn't list as its peer`);
};

process.on('uncaughtException', () => {});
process.on('unhandledRejection', () => {});
for (const name of ['n8n-nodes-base', '@n8n/n8n-nodes-langchain']) {
	const folder = path.join(modules, name);
	const { n8n } = JSON.parse(fs.readFileSync(path.join(folder, 'package.json'), 'utf8'));
	for (const file of [...n8n.nodes, ...n8n.credentials]) {
		try {
			require(path.join(folder, file));
		} catch (error) {
			note(error, path.join(folder, file));
		}
	}
}
for (const [name, range] of wanted) console.log(`${name}@${range}`);
for (const line of unknown) console.error(`missing: ${line}`);
process.exit(unknown.length ? 1 : 0);
