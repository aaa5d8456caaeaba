/** Tasks on their way: handed to the right agent, kept until it reports, given up when it stays away. */

import type { AgentTarget, RunTaskOptions } from '../contracts/agent-tasks.ts';
import type { Clock } from '../contracts/clock.ts';
import type { Progress } from '../domain/operation.ts';
import type { AgentTask, TaskAnswer, TaskReport } from '../domain/protocol.ts';
import { OverdubError } from '../errors.ts';
import { matches, type Session, type Sessions } from './sessions.ts';

/** How often absence is looked at. */
const WATCH_MS = 1_000;

/** One task somebody waits for. */
export class Job {
  readonly task: AgentTask;
  readonly target: AgentTarget;
  /** Fires when nobody waits any more; transfers of the job end with it. */
  readonly ended = new AbortController();
  /** Sign of life of this very task, not just of its agent. */
  lastContactAt: number;
  delivered: boolean;
  /** Begun by the agent itself: never handed out by a poll. */
  readonly adopted: boolean;
  readonly listeners = new Set<(progress: Progress) => void>();
  readonly outcome: Promise<unknown>;
  readonly #settle: { resolve(result: unknown): void; reject(error: unknown): void };

  constructor(task: AgentTask, target: AgentTarget, now: number, adopted: boolean) {
    this.task = task;
    this.target = target;
    this.lastContactAt = now;
    this.delivered = adopted;
    this.adopted = adopted;
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    // Whoever waits hears of a failure; without anybody it must not become an unhandled rejection.
    promise.catch(() => undefined);
    this.outcome = promise;
    this.#settle = { resolve, reject };
  }

  finish(result: unknown): void {
    this.#settle.resolve(result);
    this.ended.abort(new Error('the task is finished'));
  }

  fail(error: unknown): void {
    this.#settle.reject(error);
    this.ended.abort(error);
  }
}

export class Jobs {
  readonly #sessions: Sessions;
  readonly #clock: Clock;
  readonly #jobs = new Map<string, Job>();
  readonly #wakers = new Set<() => void>();
  readonly #polls = new Set<{ readonly session: Session; recalled: boolean }>();

  constructor(sessions: Sessions, clock: Clock) {
    this.#sessions = sessions;
    this.#clock = clock;
  }

  /** Has a task carried out by whichever session fits; joins the one with the same id. */
  async run(target: AgentTarget, task: AgentTask, options: RunTaskOptions): Promise<unknown> {
    options.signal.throwIfAborted();
    const job = this.#jobs.get(task.id) ?? this.#add(new Job(task, target, this.#clock.now(), false));
    job.listeners.add(options.onProgress);
    const onAbort = () => this.#drop(job, options.signal.reason);
    options.signal.addEventListener('abort', onAbort, { once: true });
    this.#wake();
    try {
      void this.watch(job, options.absenceMs);
      return await job.outcome;
    } finally {
      options.signal.removeEventListener('abort', onAbort);
      job.listeners.delete(options.onProgress);
    }
  }

  /** Registers a task that its agent has already begun. */
  adopt(task: AgentTask, target: AgentTarget, absenceMs: number): Job {
    const job = this.#add(new Job(task, target, this.#clock.now(), true));
    void this.watch(job, absenceMs);
    return job;
  }

  /** The job of a task id, when somebody still waits for it. */
  get(taskId: string): Job | undefined {
    return this.#jobs.get(taskId);
  }

  /** Like {@link get}, checked to be this session's. NOT_FOUND. */
  of(session: Session, taskId: string): Job {
    const job = this.#jobs.get(taskId);
    if (job === undefined || !matches(session, job.target)) {
      throw new OverdubError(
        'NOT_FOUND',
        `Nobody waits for the task ${taskId}.`,
        'It was cancelled, timed out, or the appliance restarted; the agent asks for work again.',
      );
    }
    job.lastContactAt = this.#clock.now();
    return job;
  }

  /** The task this session is to do now, waiting up to `waitMs` for one. */
  async next(session: Session, waitMs: number, signal: AbortSignal): Promise<AgentTask | undefined> {
    const until = this.#clock.now() + waitMs;
    const poll = { session, recalled: false };
    this.#polls.add(poll);
    try {
      for (;;) {
        const task = this.#take(session);
        const left = until - this.#clock.now();
        if (task !== undefined || left <= 0 || signal.aborted || poll.recalled) return task;
        await this.#news(left, signal);
        if (session.identity.standing === 'held' || poll.recalled) await this.#sessions.refresh(session);
      }
    } finally {
      this.#polls.delete(poll);
    }
  }

  /** Has the agents of a target ask anew: something that their orders tell has changed. */
  recall(target: AgentTarget): void {
    for (const poll of this.#polls) if (matches(poll.session, target)) poll.recalled = true;
    this.#wake();
  }

  report(session: Session, taskId: string, report: TaskReport): TaskAnswer {
    const job = this.#jobs.get(taskId);
    if (job === undefined || !matches(session, job.target)) return { go: false };
    job.lastContactAt = this.#clock.now();
    if (report.state === 'running') {
      for (const listener of job.listeners) listener(report.progress);
      return { go: true };
    }
    this.#jobs.delete(taskId);
    if (report.state === 'done') job.finish(report.result);
    else job.fail(OverdubError.fromJSON(report.error));
    return { go: false };
  }

  /** Ends a job from this side. */
  end(job: Job, outcome: { result: unknown } | { error: unknown }): void {
    this.#jobs.delete(job.task.id);
    if ('result' in outcome) job.finish(outcome.result);
    else job.fail(outcome.error);
  }

  close(): void {
    const gone = new OverdubError(
      'OPERATION_CANCELLED',
      'The appliance is stopping.',
      'It goes on at start.',
    );
    for (const job of [...this.#jobs.values()]) this.#drop(job, gone);
    this.#wake();
  }

  /** Gives the job up once its agent stayed away for too long. Never rejects. */
  async watch(job: Job, absenceMs: number): Promise<void> {
    const step = Math.max(1, Math.min(WATCH_MS, absenceMs / 2));
    while (!job.ended.signal.aborted) {
      try {
        await this.#clock.sleep(step, job.ended.signal);
      } catch {
        return;
      }
      const session = job.delivered ? undefined : this.#sessions.lastContact(job.target);
      const silence = this.#clock.now() - Math.max(job.lastContactAt, session ?? 0);
      if (silence > absenceMs && !job.ended.signal.aborted) this.#drop(job, lost(job, silence));
    }
  }

  #add(job: Job): Job {
    this.#jobs.set(job.task.id, job);
    return job;
  }

  #drop(job: Job, reason: unknown): void {
    if (this.#jobs.get(job.task.id) === job) this.#jobs.delete(job.task.id);
    job.fail(reason);
  }

  /** An agent asks only when it is idle: a task delivered before was lost on the way, and is given again. */
  #take(session: Session): AgentTask | undefined {
    if (session.identity.standing === 'held') return undefined;
    for (const job of this.#jobs.values()) {
      if (job.adopted || !matches(session, job.target)) continue;
      job.delivered = true;
      job.lastContactAt = this.#clock.now();
      return job.task;
    }
    return undefined;
  }

  #wake(): void {
    for (const waker of [...this.#wakers]) waker();
  }

  async #news(ms: number, signal: AbortSignal): Promise<void> {
    const stop = new AbortController();
    const either = AbortSignal.any([signal, stop.signal]);
    const waker = () => stop.abort();
    this.#wakers.add(waker);
    try {
      await this.#clock.sleep(ms, either);
    } catch {
      // Woken, or the poll was given up: the caller looks again either way.
    } finally {
      this.#wakers.delete(waker);
    }
  }
}

function lost(job: Job, silenceMs: number): OverdubError {
  const who = job.target.server ?? job.target.machineId ?? 'a machine';
  return new OverdubError(
    'AGENT_LOST',
    `The agent of ${who} went silent for ${Math.round(silenceMs / 1000)} s during its ${job.task.kind} task.`,
    'Look whether the machine is on and reaches the appliance; then repeat the operation.',
  );
}
