// Writes wasm-bytes.ts from the xdelta3-wasm package: `node embed-wasm.mjs`. A test holds the two equal.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { brotliCompressSync } from 'node:zlib';

const folder = dirname(createRequire(import.meta.url).resolve('xdelta3-wasm'));
const name = readdirSync(folder).find((file) => file.endsWith('.wasm'));
const packed = brotliCompressSync(readFileSync(join(folder, name))).toString('base64');
const lines = packed.match(/.{1,100}/g).map((line) => `  '${line}',`);
writeFileSync(
  new URL('./wasm-bytes.ts', import.meta.url),
  `/** The .wasm of the package xdelta3-wasm 1.0.0 (MIT; xdelta3 itself: Apache-2.0), brotli, base64. Made by embed-wasm.mjs. */
export const PACKED_WASM: string = [
${lines.join('\n')}
].join('');
`,
);
