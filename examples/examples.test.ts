/** Every example's configuration is right, by the command that a reader would use. */

import { execFile } from 'node:child_process';
import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

const run = promisify(execFile);
const here = fileURLToPath(new URL('.', import.meta.url));
const overdub = fileURLToPath(new URL('../bin/overdub.mjs', import.meta.url));

test.each([
  ['minimal', ['storage-local', 'imaging-tree', 'diff-rsync', 'diff-zstd', 'agent', 'api-http']],
  ['isolated-room', ['boot-pxe', 'boot-ipxe', 'discovery-netboot', 'notify-exec']],
  ['own-plugin', ['site-example']],
  ['demo', ['boot-pxe', 'agent', 'api-http']],
])('%s', async (name, plugins) => {
  const file = join(here, name, 'overdub.config.ts');
  const { stdout } = await run(process.execPath, [overdub, 'config', 'check', file, '--json']);
  const checked = JSON.parse(stdout);
  expect(checked).toMatchObject({ ok: true, file });
  expect(checked.plugins).toEqual(expect.arrayContaining(plugins));
});

test('an example works from a folder of its own, far from the checkout', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'overdub-example-'));
  try {
    await cp(join(here, 'own-plugin'), folder, { recursive: true });
    const { stdout } = await run(process.execPath, [overdub, 'config', 'check', '--json'], { cwd: folder });
    expect(JSON.parse(stdout)).toMatchObject({ ok: true, state: join(folder, 'state') });
  } finally {
    await rm(folder, { recursive: true });
  }
});

test('without a file the defaults are right', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'overdub-defaults-'));
  try {
    const { stdout } = await run(process.execPath, [overdub, 'config', 'check', '--json'], { cwd: folder });
    expect(JSON.parse(stdout)).toMatchObject({ ok: true, file: 'the defaults' });
  } finally {
    await rm(folder, { recursive: true });
  }
});
