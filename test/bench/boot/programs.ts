/** Where the others' servers are. */

import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { glob, mkdir } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Program → Debian package. */
const PACKAGES = {
  'in.tftpd': 'tftpd-hpa',
  atftpd: 'atftpd',
  dnsmasq: 'dnsmasq-base',
  nginx: 'nginx-light',
} as const;
export type Programs = Readonly<Record<keyof typeof PACKAGES, string>>;

/**
 * Installed programs, else those of their Debian packages, unpacked below `directory`: these packages start services
 * when they are installed, and tftpd-hpa and atftpd refuse to be installed together.
 */
export async function findPrograms(directory: string): Promise<{ programs: Programs; libraries: string }> {
  const found: [string, string][] = [];
  for (const [name, debian] of Object.entries(PACKAGES))
    found.push([name, await find(name, debian, directory)]);
  const wrap = await unpack('libwrap0', directory);
  const libraries: string[] = [];
  for await (const each of glob(`${wrap}/usr/lib/*/`)) libraries.push(each);
  return { programs: Object.fromEntries(found) as Programs, libraries: libraries.join(':') };
}

async function find(name: string, debian: string, directory: string): Promise<string> {
  // Other packages have an in.tftpd too.
  const installed = name === 'in.tftpd' ? [] : ['/usr/sbin', '/usr/bin'];
  const there = installed.map((place) => path.join(place, name)).find((file) => existsSync(file));
  if (there !== undefined) return there;
  const file = path.join(await unpack(debian, directory), 'usr/sbin', name);
  if (!existsSync(file)) throw new Error(`the package ${debian} has no ${name}`);
  return file;
}

async function unpack(debian: string, directory: string): Promise<string> {
  const home = path.join(directory, 'packages', debian);
  await mkdir(home, { recursive: true });
  await run('apt-get', ['download', debian], { cwd: home });
  await run('sh', ['-c', 'dpkg-deb -x ./*.deb .'], { cwd: home });
  return home;
}
