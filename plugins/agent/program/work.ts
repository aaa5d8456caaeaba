/** The loop: ask for orders, carry them out, report; in between the snapshots that are due. */

import type { AgentHalf, Clock, MachineFacts, Orders, Progress } from '@overdub/core/agent';
import {
  type AgentTask,
  type DeltaCodec,
  OverdubError,
  type RebootResult,
  toOverdubError,
} from '@overdub/core/agent';
import type { Appliance } from './link/appliance.ts';
import { ConnectionLost } from './link/connection-lost.ts';
import type { AgentEnd, AgentOptions } from './options.ts';
import type { Ended, Results } from './results.ts';
import type { Schedule } from './schedule.ts';
import { performTask } from './tasks/perform.ts';
import { goDown } from './tasks/reboot.ts';

/** Longest wait for orders, seconds. */
const POLL_SECONDS = 25;
/** A report at least this often: it is also the sign of life, milliseconds. */
const REPORT_MS = 2_000;
/** After a failure that will not pass by itself at once, milliseconds. */
const PAUSE_MS = 5_000;

export interface WorkContext {
  readonly options: AgentOptions;
  readonly appliance: Appliance;
  readonly clock: Clock;
  readonly halves: readonly AgentHalf[];
  readonly codecs: readonly DeltaCodec[];
  readonly facts: MachineFacts | undefined;
  readonly results: Results;
  readonly schedule: Schedule;
}

export class Work {
  readonly #context: WorkContext;
  #said = '';
  #asked = false;

  constructor(context: WorkContext) {
    this.#context = context;
  }

  async run(): Promise<AgentEnd> {
    const { signal } = this.#context.options;
    for (;;) {
      signal.throwIfAborted();
      try {
        const end = await this.#once();
        if (end !== undefined) return end;
      } catch (error) {
        signal.throwIfAborted();
        await this.#pause(error);
      }
    }
  }

  async #once(): Promise<AgentEnd | undefined> {
    const { appliance, schedule, options } = this.#context;
    const { signal } = options;
    const due = schedule.due();
    const wait = Math.min(POLL_SECONDS, Math.ceil((due?.inMs ?? Number.POSITIVE_INFINITY) / 1000));
    // The first answer comes at once: it brings the schedule, and tells people where the machine stands.
    const orders = await appliance.orders(this.#asked ? wait : 0, signal);
    this.#asked = true;
    schedule.update(orders);
    this.#say(standingLine(orders));
    if (orders.task !== undefined) return await this.#task(orders.task);
    if (options.bundle !== undefined && orders.bundle !== undefined && orders.bundle !== options.bundle) {
      this.#say('the appliance has a newer agent: restarting');
      return 'upgrade';
    }
    const next = schedule.due();
    if (next !== undefined && next.inMs === 0 && options.where === 'server')
      await this.#scheduled(next.server);
    return undefined;
  }

  /** Does a task once, reports how it ended until the appliance has heard it. */
  async #task(task: AgentTask): Promise<AgentEnd | undefined> {
    const { appliance, results, options } = this.#context;
    const known = results.get(task.id);
    const ended = known ?? (await this.#attempt(task, (stop) => performTask(this.#context, task, stop)));
    if (ended === undefined) return undefined;
    await appliance.report(task.id, ended, options.signal);
    if (ended.state === 'failed') this.#say(`${task.kind} failed: ${ended.error.message}`);
    else this.#say(`${task.kind} done`);
    if (task.kind !== 'reboot' || ended.state !== 'done' || known !== undefined) return undefined;
    await goDown(this.#context, ended.result as RebootResult);
    return 'reboot';
  }

  /** Undefined when the appliance no longer wants it: then there is no result either. */
  async #attempt(
    task: AgentTask,
    perform: (stop: { signal: AbortSignal; onProgress: (progress: Progress) => void }) => Promise<unknown>,
  ): Promise<Ended | undefined> {
    const stop = new AbortController();
    const signal = AbortSignal.any([stop.signal, this.#context.options.signal]);
    let progress: Progress = {};
    const heartbeat = this.#heartbeat(task, () => progress, stop);
    let ended: Ended;
    try {
      const result = await perform({
        signal,
        onProgress: (newest) => {
          progress = newest;
        },
      });
      ended = { state: 'done', result };
    } catch (error) {
      this.#context.options.signal.throwIfAborted();
      if (stop.signal.aborted) {
        this.#say(`${task.kind} was given up by the appliance`);
        return undefined;
      }
      ended = { state: 'failed', error: failureOf(error).toJSON() };
    } finally {
      heartbeat.stop();
      await heartbeat.done;
    }
    // A task whose failure was the network's is not over: the appliance gives it again.
    if (ended.state === 'done' || ended.error.code !== 'AGENT_LOST') {
      await this.#context.results.put(task.id, ended);
    }
    return ended;
  }

  #heartbeat(task: AgentTask, progress: () => Progress, stop: AbortController) {
    const { appliance, clock } = this.#context;
    const over = new AbortController();
    const beat = async () => {
      while (!over.signal.aborted) {
        try {
          const answer = await appliance.report(
            task.id,
            { state: 'running', progress: progress() },
            over.signal,
          );
          if (!answer.go) stop.abort(new Error('nobody waits for this task any more'));
          await clock.sleep(REPORT_MS, over.signal);
        } catch {
          // The appliance is away, or the task is over: the work itself notices what matters.
          if (!over.signal.aborted) await clock.sleep(REPORT_MS, over.signal).catch(() => undefined);
        }
      }
    };
    return { done: beat(), stop: () => over.abort(new Error('the task is over')) };
  }

  /** A snapshot of our own accord. Its failure is the operation's; the loop goes on. */
  async #scheduled(server: string): Promise<void> {
    const { appliance, schedule, options } = this.#context;
    await schedule.began();
    try {
      const task = await appliance.beginSnapshot({ server, reason: 'schedule' }, options.signal);
      const ended = await this.#attempt(task, (stop) => performTask(this.#context, task, stop));
      if (ended?.state !== 'failed') return await schedule.ended();
      schedule.failed();
      this.#say(`scheduled snapshot failed: ${ended.error.message}`);
      await appliance.report(task.id, ended, options.signal);
    } catch (error) {
      schedule.failed();
      throw error;
    }
  }

  async #pause(error: unknown): Promise<void> {
    const { clock, options } = this.#context;
    const away = error instanceof ConnectionLost;
    this.#say(away ? `${options.url} does not answer; trying again` : failureOf(error).message);
    await clock.sleep(PAUSE_MS, options.signal);
  }

  #say(line: string): void {
    if (line === this.#said) return;
    this.#said = line;
    this.#context.options.print(line);
  }
}

function standingLine(orders: Orders): string {
  const name = orders.machineName ?? orders.server ?? 'this machine';
  if (orders.standing === 'held') return `${name}: held: waiting for an administrator`;
  if (orders.standing === 'waiting') return `${name}: accepted, waiting for a server to be assigned`;
  return orders.server === undefined || orders.server === name
    ? `${name}: at work`
    : `${name}: ${orders.server}`;
}

/** The network's failures are told apart from all others: they pass. */
function failureOf(error: unknown): OverdubError {
  if (error instanceof ConnectionLost) {
    return new OverdubError('AGENT_LOST', error.message, 'The agent tries again by itself.', {
      cause: error,
    });
  }
  return toOverdubError(error, 'INTERNAL', 'See the console or journal of the machine.');
}
