/** Debian's signed loaders for 64-bit ARM, unpacked beside the ramdisk: a host of another architecture cannot install them. */

import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { defaultRamdiskDir } from '../../plugins/agent/ramdisk/commands.ts';
import { exec } from '../lab/programs.ts';

const PACKAGES = ['shim-signed', 'grub-efi-arm64-signed'] as const;

/** The tree for boot-grub's option `arm`. Made once; apt verifies what it downloads, nothing of it is run. */
export async function armPackages(): Promise<string> {
  const home = join(dirname(defaultRamdiskDir()), 'arm64');
  const tree = join(home, 'tree');
  if (existsSync(join(home, 'done'))) return tree;
  rmSync(home, { recursive: true, force: true });
  for (const name of ['lists/partial', 'archives/partial', 'tree'])
    mkdirSync(join(home, name), { recursive: true });
  writeFileSync(join(home, 'status'), '');
  const apt = (...args: string[]) =>
    exec(['sh', '-c', 'cd "$0" && exec apt-get "$@"', join(home, 'archives'), ...ownState(home), ...args], {
      timeoutMs: 300_000,
    });
  await apt('update');
  await apt('download', ...PACKAGES);
  for (const file of await readdir(join(home, 'archives'))) {
    if (file.endsWith('.deb')) await exec(['dpkg-deb', '-x', join(home, 'archives', file), tree]);
  }
  writeFileSync(join(home, 'done'), '');
  return tree;
}

/** The host's sources and trust, but another architecture, and nothing installed. */
function ownState(home: string): string[] {
  return [
    ['APT::Architecture', 'arm64'],
    ['APT::Architectures', 'arm64'],
    ['APT::Sandbox::User', 'root'],
    ['Dir::State::lists', join(home, 'lists')],
    ['Dir::State::status', join(home, 'status')],
    ['Dir::Cache', home],
    ['Acquire::Languages', 'none'],
  ].flatMap(([key, value]) => ['-o', `${key}=${value}`]);
}
