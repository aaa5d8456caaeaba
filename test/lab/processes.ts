/** Long-lived processes of a lab. Each is known by pid and start time, so that a stranger's is never ended. */

import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { missingProgram } from './programs.ts';

/** A process as recorded: the start time (proc_pid_stat(5), field 22) tells a recycled pid apart. */
export interface ProcessId {
  readonly pid: number;
  readonly startTime: string;
}

/** The running process with this pid, or undefined. */
export function processId(pid: number): ProcessId | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' ? undefined : { pid, startTime: fields[19] ?? '' };
  } catch {
    return undefined;
  }
}

export function isAlive(id: ProcessId): boolean {
  return processId(id.pid)?.startTime === id.startTime;
}

/** Sends a signal if it is still that very process. */
export function signalProcess(id: ProcessId, signal: NodeJS.Signals): void {
  if (!isAlive(id)) return;
  try {
    process.kill(id.pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** Writes or reads the record of a process, so that a later run can tell whether it still lives. */
export function recordProcess(path: string, id: ProcessId): void {
  writeFileSync(path, JSON.stringify(id));
}

export function recordedProcess(path: string): ProcessId | undefined {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as ProcessId;
  } catch {
    return undefined;
  }
}

/** A process the lab started, its output in a file. */
export class LabProcess {
  readonly id: ProcessId;
  readonly logFile: string;
  readonly exited: Promise<number | NodeJS.Signals>;
  #ended = false;

  private constructor(child: ChildProcess, id: ProcessId, logFile: string) {
    this.id = id;
    this.logFile = logFile;
    this.exited = new Promise((resolve) => {
      child.on('exit', (code, signal) => {
        this.#ended = true;
        resolve(code ?? signal ?? 'SIGKILL');
      });
    });
  }

  /** Starts it in its own process group: the terminal's Ctrl-C ends it through the lab's clean-up only. */
  static async start(
    command: readonly string[],
    options: {
      readonly logFile: string;
      readonly env?: Readonly<Record<string, string>>;
      readonly cwd?: string;
    },
  ): Promise<LabProcess> {
    const [program = '', ...args] = command;
    const log = openSync(options.logFile, 'a');
    const child = spawn(program, args, {
      detached: true,
      stdio: ['ignore', log, log],
      env: { ...process.env, ...options.env },
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    });
    closeSync(log);
    await new Promise<void>((resolve, reject) => {
      child.on('spawn', resolve);
      child.on('error', (error: NodeJS.ErrnoException) =>
        reject(error.code === 'ENOENT' ? missingProgram(program) : error),
      );
    });
    child.unref();
    const id = processId(child.pid ?? -1) ?? { pid: child.pid ?? -1, startTime: 'ended' };
    return new LabProcess(child, id, options.logFile);
  }

  get running(): boolean {
    return !this.#ended;
  }

  /** What it has written so far. */
  output(): string {
    return readFileSync(this.logFile, 'utf8');
  }

  /** Asks it to end, and insists after `graceMs`. */
  async stop(graceMs = 10_000): Promise<void> {
    if (this.#ended) return;
    // The child does not keep us running, so that a forgotten one hangs nobody; while we wait for its end, this does.
    const awake = setInterval(() => undefined, 1000);
    try {
      signalProcess(this.id, 'SIGTERM');
      const ended = await Promise.race([this.exited.then(() => true), sleep(graceMs, false, { ref: false })]);
      if (!ended) {
        signalProcess(this.id, 'SIGKILL');
        await this.exited;
      }
    } finally {
      clearInterval(awake);
    }
  }
}
