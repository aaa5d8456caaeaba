/** An appliance of the benchmarks' own, and commands against it whose cost is measured. */

import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';

export const run = promisify(execFile);
const BIN = resolve(import.meta.dirname, '../../bin/overdub.mjs');

export interface RunningAppliance {
  readonly child: ChildProcess;
  readonly url: string;
  readonly token: string;
}

/** With the minimal configuration, on a free port, its state below `work`; `token` when that state is there already. */
export async function startAppliance(work: string, token?: string): Promise<RunningAppliance> {
  const config = resolve(import.meta.dirname, '../../examples/minimal/overdub.config.ts');
  const child = spawn(
    process.execPath,
    [BIN, 'up', '--config', config, '--state', join(work, 'state'), '--port', '0', '--json'],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, OVERDUB_NO_REEXEC: '1' },
    },
  );
  for await (const line of createInterface({ input: child.stdout })) {
    if (!line.startsWith('{')) continue;
    const hello = JSON.parse(line) as { url?: string; firstToken?: string };
    const known = hello.firstToken ?? token;
    if (hello.url !== undefined && known !== undefined) return { child, url: hello.url, token: known };
  }
  throw new Error('the appliance ended before it was up; its message is above');
}

export async function stopAppliance(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return;
  const ended = new Promise((done) => child.once('exit', done));
  child.kill('SIGTERM');
  await ended;
}

/** What a command gave and cost; CPU is user and system seconds. */
export interface Ran {
  readonly json: unknown;
  readonly seconds: number;
  readonly agentCpu: number;
  readonly applianceCpu: number;
  readonly peakMiB: number;
}

export type Overdub = (...args: string[]) => Promise<Ran>;

/** Runs `overdub … --json` under time(1), for wall and CPU seconds and peak memory of the whole process. */
export function commandFor(appliance: RunningAppliance, work: string): Overdub {
  const env = {
    ...process.env,
    OVERDUB_URL: appliance.url,
    OVERDUB_TOKEN: appliance.token,
    XDG_STATE_HOME: join(work, 'agent'),
  };
  return async (...args) => {
    const times = join(work, 'times');
    const before = cpuSeconds(appliance.child);
    const { stdout } = await run(
      '/usr/bin/time',
      ['-o', times, '-f', '%e %U %S %M', BIN, ...args, '--json'],
      {
        env,
        maxBuffer: 256 << 20,
      },
    );
    const [seconds = 0, user = 0, system = 0, kib = 0] = readFileSync(times, 'utf8')
      .trim()
      .split(' ')
      .map(Number);
    const applianceCpu = cpuSeconds(appliance.child) - before;
    return { json: JSON.parse(stdout), seconds, agentCpu: user + system, applianceCpu, peakMiB: kib / 1024 };
  };
}

/** User and system time so far, of the process alone; proc_pid_stat(5). Ticks are hundredths of a second. */
export function cpuSeconds(child: ChildProcess): number {
  const stat = readFileSync(`/proc/${child.pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** In place, as a server drifts: inodes and times of unchanged files stay. */
export async function become(live: string, tree: string): Promise<void> {
  await run('rsync', [
    '-aHAX',
    '--numeric-ids',
    '--delete',
    '--inplace',
    '--no-whole-file',
    `${tree}/`,
    `${live}/`,
  ]);
}

/** Bytes that the process has read so far, from files and sockets; proc_pid_io(5). */
export function readBytes(child: ChildProcess): number {
  const io = readFileSync(`/proc/${child.pid}/io`, 'utf8');
  return Number(/^rchar: (\d+)$/m.exec(io)?.[1] ?? Number.NaN);
}

/** From now on {@link peakMiB} is of what comes (proc(5), `clear_refs`). */
export function forgetPeak(child: ChildProcess): void {
  writeFileSync(`/proc/${child.pid}/clear_refs`, '5');
}

/** Peak resident memory so far. */
export function peakMiB(child: ChildProcess): number {
  const status = readFileSync(`/proc/${child.pid}/status`, 'utf8');
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1] ?? Number.NaN) / 1024;
}
