/** Puts the agent into an installed server: Node, loader, credential, systemd unit. All of it is ours, no image's. */

import { chmod, copyFile, lstat, mkdir, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { OverdubError } from '@overdub/core/agent';
import type { AgentOptions } from '../options.ts';
import { syncFile, writeState } from '../state-file.ts';
import { equalFiles } from './equal-files.ts';
import { ownDirectory } from './own-directory.ts';
import { serverStateDir } from './snapshot.ts';

/** Where everything of the agent lives in a server. */
export const AGENT_DIR = 'var/lib/overdub';
const UNIT = 'overdub-agent.service';
const UNIT_TEXT = `[Unit]
Description=Overdub agent: snapshots of this server
Wants=network-online.target
After=network-online.target

[Service]
ExecStart=/var/lib/overdub/node /var/lib/overdub/loader.mjs --state /var/lib/overdub
Restart=always
RestartSec=5
Nice=5
IOSchedulingClass=best-effort
IOSchedulingPriority=6
MemoryMax=300M
Environment=MALLOC_ARENA_MAX=1

[Install]
WantedBy=multi-user.target
`;

/** Who the installed agent is: what its `credential.json` holds. */
export interface InstalledAgent {
  readonly server: { readonly name: string; readonly generation?: number };
  readonly credential: string;
}

/** Idempotent; every file is replaced as a whole. `root` is where the server's root is mounted. */
export async function placeAgent(
  options: Pick<AgentOptions, 'url' | 'loader' | 'node'>,
  root: string,
  agent: InstalledAgent,
): Promise<void> {
  const dir = join(root, AGENT_DIR);
  await ownDirectory(dir);
  await replace(options.node ?? process.execPath, join(dir, 'node'), 0o755);
  await replace(options.loader ?? '/overdub/loader.mjs', join(dir, 'loader.mjs'), 0o644);
  const credential = join(dir, 'credential.json');
  await makeWay(credential);
  await writeState(credential, {
    url: options.url,
    credential: agent.credential,
    server: agent.server.name,
    ...(agent.server.generation === undefined ? {} : { generation: agent.server.generation }),
  });
  await placeUnit(root);
}

/** Whatever an intruder left where a file is to be replaced: a directory, or something where it is written first. */
async function makeWay(to: string): Promise<void> {
  await rm(`${to}.part`, { recursive: true, force: true });
  const there = await lstat(to).catch(() => undefined);
  if (there?.isDirectory() === true) await rm(to, { recursive: true, force: true });
}

/** Records and signatures of the installed agent. */
export function agentStateIn(root: string, server: string): string {
  return serverStateDir(join(root, AGENT_DIR, 'state'), server);
}

async function placeUnit(root: string): Promise<void> {
  const units = join(root, 'etc/systemd/system');
  const wants = join(units, 'multi-user.target.wants');
  try {
    await mkdir(wants, { recursive: true });
    const part = join(units, `.${UNIT}.part`);
    await writeFile(part, UNIT_TEXT, { mode: 0o644 });
    await rename(part, join(units, UNIT));
    await rm(join(wants, UNIT), { force: true });
    await symlink(`/etc/systemd/system/${UNIT}`, join(wants, UNIT));
  } catch (cause) {
    throw new OverdubError(
      'IMAGE_INVALID',
      `The agent's service cannot be put into the server: ${cause instanceof Error ? cause.message : String(cause)}`,
      'The image must have a systemd layout (/etc/systemd/system).',
      { cause },
    );
  }
}

/** Equal bytes stay where they are: Node alone is 120 MB, and a disk that was broken into is compared, not believed. */
async function replace(from: string, to: string, mode: number): Promise<void> {
  await makeWay(to);
  if (await equalFiles(from, to)) return await chmod(to, mode);
  const part = `${to}.part`;
  await mkdir(dirname(to), { recursive: true });
  await copyFile(from, part);
  await chmod(part, mode);
  await syncFile(part);
  await rename(part, to);
}
