/** `overdub agent run` and `overdub agent install`: the agent as a service of this machine. */

import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { type CommandContribution, type CommandIo, OverdubError } from '@overdub/core';
import { runAgent } from '../program/main.ts';
import { placeAgent } from '../program/tasks/agent-files.ts';
import { connect, credentials, explained, parse, serverName } from './context.ts';

const run = promisify(execFile);
const LOADER = fileURLToPath(new URL('../loader/loader.mjs', import.meta.url));

export const serviceCommands: readonly CommandContribution[] = [
  {
    path: ['agent', 'run'],
    summary: 'Run the agent of an enrolled server in the foreground, from this installation',
    usage: 'overdub agent run --state DIR [--root DIR]',
    examples: ['overdub agent run --state /var/lib/overdub'],
    run: runCommand,
  },
  {
    path: ['agent', 'install'],
    summary: 'Enrol this machine as a server: put the agent in place and start it',
    usage: 'overdub agent install --server NAME [--root DIR] [--no-start]',
    examples: ['OVERDUB_URL=http://10.0.0.1:7077 OVERDUB_TOKEN=… overdub agent install --server web-1'],
    run: installCommand,
  },
];

interface Credential {
  readonly url: string;
  readonly credential: string;
  readonly server: string;
  readonly generation?: number;
}

async function runCommand(args: readonly string[], io: CommandIo): Promise<number> {
  const options = parse('agent run', args, { state: { type: 'string' }, root: { type: 'string' } } as const);
  const dir = resolve(options.state ?? '/var/lib/overdub');
  const { url, credential, server, generation } = await readCredential(dir);
  const bootId = (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
  try {
    await runAgent(
      {
        url,
        where: 'server',
        bootId,
        credential,
        server,
        ...(generation === undefined ? {} : { generation }),
        stateDir: join(dir, 'state'),
        root: resolve(options.root ?? '/'),
        loader: LOADER,
        print: (line) => io.print(line),
        signal: io.signal,
      },
      (await io.agentHalves?.()) ?? [],
    );
  } catch (error) {
    if (!io.signal.aborted) throw explained(error);
  }
  return 0;
}

async function installCommand(args: readonly string[], io: CommandIo): Promise<number> {
  const options = parse('agent install', args, {
    server: { type: 'string' },
    root: { type: 'string' },
    'no-start': { type: 'boolean' },
  } as const);
  const server = serverName(options.server, 'agent install');
  const root = resolve(options.root ?? '/');
  const { url, token } = credentials(io);
  await assertEnrolled(io, server);
  const agent = { server: { name: server }, credential: await ownToken(io, url, token, server) };
  await placeAgent({ url, loader: LOADER, node: process.execPath }, root, agent);
  const start = options['no-start'] !== true && root === '/';
  if (start) await startService();
  if (io.json) io.print(JSON.stringify({ server, root, started: start }));
  else
    io.print(`${server}: agent installed in ${join(root, 'var/lib/overdub')}${start ? ' and started' : ''}`);
  return 0;
}

/** Proves that the appliance knows the server and lets us act for it, before anything is written. */
async function assertEnrolled(io: CommandIo, server: string): Promise<void> {
  const appliance = await connect(io, server);
  try {
    await appliance.hello(io.signal);
  } catch (error) {
    throw explained(error);
  } finally {
    appliance.close();
  }
}

/** A token for this server only, where ours may make one; else ours itself, which must be limited already. */
async function ownToken(io: CommandIo, url: string, token: string, server: string): Promise<string> {
  const answer = await fetch(new URL('/api/v1/tokens', url), {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ name: `agent of ${server}`, role: 'operator', server }),
    signal: io.signal,
  });
  if (answer.status === 401 || answer.status === 403) {
    io.error('This token may not create others: the agent keeps it as its own. Limit it to the server.');
    return token;
  }
  const body = (await answer.json()) as { readonly secret?: string };
  if (answer.ok && typeof body.secret === 'string') return body.secret;
  throw new OverdubError(
    'UNAUTHORIZED',
    `The appliance gave no token for ${server} (HTTP status ${answer.status}).`,
    `Create one with overdub token create --role operator --server ${server}, and use it as OVERDUB_TOKEN.`,
  );
}

async function startService(): Promise<void> {
  try {
    await run('systemctl', ['daemon-reload']);
    await run('systemctl', ['restart', 'overdub-agent.service']);
  } catch (cause) {
    throw new OverdubError(
      'PREREQUISITE_MISSING',
      `The agent is in place, but systemd did not start it: ${cause instanceof Error ? cause.message : String(cause)}`,
      'Start it by hand: overdub agent run --state /var/lib/overdub.',
      { cause },
    );
  }
}

async function readCredential(dir: string): Promise<Credential> {
  try {
    return JSON.parse(await readFile(join(dir, 'credential.json'), 'utf8')) as Credential;
  } catch (cause) {
    throw new OverdubError(
      'NOT_FOUND',
      `There is no credential in ${dir}: this machine is not enrolled.`,
      'Enrol it: overdub agent install --server NAME.',
      { cause },
    );
  }
}
