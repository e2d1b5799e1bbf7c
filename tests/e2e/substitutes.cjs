// Which of n8n's exactly pinned packages the registry lacks, and the nearest older version that it has.
//
//   node substitutes.cjs VERSION        prints {"name": "version", …}
//
// A registry that mirrors another one may be behind: n8n itself is there, some of its own packages aren't yet. Exit
// status 1 when a package has no older version either.
'use strict';
const { execFileSync } = require('node:child_process');

const view = (...query) => {
	try {
		return JSON.parse(execFileSync('npm', ['view', '--json', ...query], { stdio: ['ignore', 'pipe', 'ignore'] }) || 'null');
	} catch {
		return null;
	}
};
const numbers = (version) => version.split('.').map(Number);
const older = (a, b) => {
	const [x, y] = [numbers(a), numbers(b)];
	const place = x.findIndex((number, index) => number !== y[index]);
	return place >= 0 && x[place] < y[place];
};

const found = {};
for (const [name, version] of Object.entries(view(`n8n@${process.argv[2]}`, 'dependencies') ?? {})) {
	if (!/^(@n8n\/|n8n-)/.test(name) || !/^\d+\.\d+\.\d+$/.test(version)) continue;
	if (view(`${name}@${version}`, 'version')) continue;
	const there = [view(name, 'versions') ?? []].flat().filter((one) => /^\d+\.\d+\.\d+$/.test(one) && older(one, version));
	if (!there.length) {
		console.error(`the registry has neither ${name}@${version} nor an older version`);
		process.exit(1);
	}
	found[name] = there.reduce((a, b) => (older(a, b) ? b : a));
}
console.log(JSON.stringify(found));
