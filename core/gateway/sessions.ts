/** Agent sessions: who is connected, what they may do, and how they come back after the appliance restarted. */

import { createHash, randomBytes } from 'node:crypto';
import type { AgentTarget, Presence } from '../contracts/agent-tasks.ts';
import type { Clock } from '../contracts/clock.ts';
import type { AgentIdentity, AgentPolicy } from '../contracts/gateway.ts';
import type { Log } from '../contracts/log.ts';
import type { Repository } from '../contracts/repository.ts';
import type { Hello, Welcome } from '../domain/protocol.ts';
import { OverdubError } from '../errors.ts';
import { checkHello } from './hello.ts';

/** Silent longer than this and not waiting in a poll: not present. */
const PRESENT_MS = 30_000;
/** Forgotten from memory after this; its owner can renew it or say hello again. */
const FORGOTTEN_MS = 30 * 60_000;
/** Repository records of sessions that cannot say hello a second time; the token itself is never stored. */
const RECORD_KIND = 'agent-session';

export interface Session {
  readonly hash: string;
  readonly hello: Hello;
  identity: AgentIdentity;
  welcome: Omit<Welcome, 'session' | 'now'>;
  readonly since: number;
  lastSeenAt: number;
  /** Requests being answered right now, waiting polls included. */
  open: number;
}

interface SessionRecord {
  readonly identity: AgentIdentity;
  readonly welcome: Omit<Welcome, 'session' | 'now'>;
  readonly hello: Hello;
}

interface Waiter {
  readonly target: AgentTarget & { readonly notBootId?: string; readonly generation?: number };
  resolve(presence: Presence): void;
}

export class Sessions {
  readonly #policy: AgentPolicy;
  readonly #repository: Repository;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #sessions = new Map<string, Session>();
  readonly #waiters = new Set<Waiter>();
  /** Machine → the id of its session's record. */
  #recorded: Map<string, string> | undefined;
  #listing: Promise<void> | undefined;

  constructor(options: { policy: AgentPolicy; repository: Repository; clock: Clock; log: Log }) {
    this.#policy = options.policy;
    this.#repository = options.repository;
    this.#clock = options.clock;
    this.#log = options.log;
  }

  /** Admits an agent or renews its session. UNAUTHORIZED, or whatever the policy refuses with. */
  async open(body: unknown, ip: string): Promise<{ session: Session; token: string }> {
    const hello = checkHello(body);
    const admitted =
      hello.resume === undefined
        ? await this.#policy.admit(hello, { ip })
        : await this.#resume(hello, hello.resume);
    const token = randomBytes(32).toString('base64url');
    const now = this.#clock.now();
    const session: Session = {
      hash: hashToken(token),
      hello: withoutSecrets(hello),
      identity: admitted.identity,
      welcome: admitted.welcome,
      since: now,
      lastSeenAt: now,
      open: 0,
    };
    this.#forgetOld(now);
    this.#sessions.set(session.hash, session);
    if (hello.credential === undefined) await this.#remember(session);
    this.seen(session);
    return { session, token };
  }

  /** The session a bearer token belongs to. UNAUTHORIZED when there is none: say hello. */
  of(token: string | undefined): Session {
    const session = token === undefined ? undefined : this.#sessions.get(hashToken(token));
    if (session === undefined) throw unauthorized('This agent session is not known here.');
    return session;
  }

  /** Notes a sign of life of one that was found before. UNAUTHORIZED when it has ended since. */
  stillThere(session: Session): void {
    if (this.#sessions.get(session.hash) !== session) throw unauthorized('This agent session has ended.');
    this.seen(session);
  }

  /** Notes a sign of life and wakes whoever waits for this agent. */
  seen(session: Session): void {
    session.lastSeenAt = this.#clock.now();
    for (const waiter of this.#waiters) {
      if (!this.#fits(session, waiter.target)) continue;
      this.#waiters.delete(waiter);
      waiter.resolve(presenceOf(session));
    }
  }

  /** Asks the policy what this session may do now. A refusal ends the session. */
  async refresh(session: Session): Promise<void> {
    if (this.#policy.readmit === undefined) return;
    try {
      const admitted = await this.#policy.readmit(session.identity, session.hello);
      session.identity = admitted.identity;
      session.welcome = admitted.welcome;
    } catch (error) {
      this.#sessions.delete(session.hash);
      throw error;
    }
    this.seen(session);
  }

  present(target: AgentTarget): Presence | undefined {
    const session = this.latest(target);
    return session === undefined || !this.#alive(session) ? undefined : presenceOf(session);
  }

  /** The newest session of a target, alive or not. */
  latest(target: AgentTarget): Session | undefined {
    let best: Session | undefined;
    for (const session of this.#sessions.values()) {
      if (matches(session, target) && (best === undefined || session.since >= best.since)) best = session;
    }
    return best;
  }

  /** When the target's agent last gave a sign of life; undefined when never. */
  lastContact(target: AgentTarget): number | undefined {
    const session = this.latest(target);
    if (session === undefined) return undefined;
    return session.open > 0 ? this.#clock.now() : session.lastSeenAt;
  }

  waitFor(target: Waiter['target'], signal: AbortSignal): Promise<Presence> {
    const here = [...this.#sessions.values()]
      .reverse()
      .find((session) => this.#alive(session) && this.#fits(session, target));
    if (here !== undefined) return Promise.resolve(presenceOf(here));
    return new Promise((resolve, reject) => {
      signal.throwIfAborted();
      const onAbort = () => {
        this.#waiters.delete(waiter);
        reject(signal.reason as Error);
      };
      const waiter: Waiter = {
        target,
        resolve: (presence) => {
          signal.removeEventListener('abort', onAbort);
          resolve(presence);
        },
      };
      signal.addEventListener('abort', onAbort, { once: true });
      this.#waiters.add(waiter);
    });
  }

  async #resume(hello: Hello, token: string): Promise<SessionRecord> {
    const hash = hashToken(token);
    const live = this.#sessions.get(hash);
    const record =
      live ?? ((await this.#repository.getRecord(RECORD_KIND, hash)) as SessionRecord | undefined);
    if (record === undefined || record.hello.bootId !== hello.bootId || record.hello.where !== hello.where) {
      throw unauthorized('The session to be renewed is not known here, or belongs to another boot.');
    }
    const known = { ...record.hello, ...withoutSecrets(hello) };
    const admitted =
      this.#policy.readmit === undefined ? record : await this.#policy.readmit(record.identity, known);
    this.#sessions.delete(hash);
    return { identity: admitted.identity, welcome: admitted.welcome, hello: known };
  }

  /** Keeps what a ramdisk's agent needs to come back: its nonce is used up. One record a machine. */
  async #remember(session: Session): Promise<void> {
    const { identity, welcome, hello } = session;
    try {
      const earlier = identity.machineId === undefined ? undefined : await this.#recordOf(identity.machineId);
      await this.#repository.putRecord(RECORD_KIND, session.hash, { identity, welcome, hello });
      if (identity.machineId !== undefined) this.#recorded?.set(identity.machineId, session.hash);
      if (earlier !== undefined) await this.#repository.removeRecord(RECORD_KIND, earlier);
    } catch (error) {
      // The session works without; only a restart of the appliance would then need a reboot of the machine.
      this.#log.warn({ err: error, machine: identity.machineId }, 'agent session could not be recorded');
    }
  }

  /** Where the machine's session of before is recorded; the repository is asked once. */
  async #recordOf(machineId: string): Promise<string | undefined> {
    this.#listing ??= this.#repository.listRecords(RECORD_KIND).then((records) => {
      this.#recorded = new Map(
        records.flatMap(({ id, value }) => {
          const owner = (value as SessionRecord).identity.machineId;
          return owner === undefined ? [] : [[owner, id] as const];
        }),
      );
    });
    await this.#listing.catch((error: unknown) => {
      this.#listing = undefined;
      throw error;
    });
    return this.#recorded?.get(machineId);
  }

  #forgetOld(now: number): void {
    for (const session of this.#sessions.values()) {
      if (session.open === 0 && now - session.lastSeenAt > FORGOTTEN_MS) this.#sessions.delete(session.hash);
    }
  }

  #alive(session: Session): boolean {
    return session.open > 0 || this.#clock.now() - session.lastSeenAt <= PRESENT_MS;
  }

  #fits(session: Session, target: Waiter['target']): boolean {
    if (!matches(session, target)) return false;
    if (target.notBootId !== undefined && session.hello.bootId === target.notBootId) return false;
    return target.generation === undefined || session.identity.generation === target.generation;
  }
}

/** Does this session belong to the target? */
export function matches(session: Session, target: AgentTarget): boolean {
  if (session.hello.where !== target.where) return false;
  if (target.machineId !== undefined && session.identity.machineId !== target.machineId) return false;
  if (target.server !== undefined && session.identity.server !== target.server) return false;
  return target.machineId !== undefined || target.server !== undefined;
}

function presenceOf(session: Session): Presence {
  const { identity, hello } = session;
  return {
    ...(identity.machineId === undefined ? {} : { machineId: identity.machineId }),
    ...(identity.server === undefined ? {} : { server: identity.server }),
    ...(identity.generation === undefined ? {} : { generation: identity.generation }),
    ...(hello.facts === undefined ? {} : { facts: hello.facts }),
    where: hello.where,
    bootId: hello.bootId,
    since: new Date(session.since).toISOString(),
  };
}

function withoutSecrets(hello: Hello): Hello {
  const { nonce: _nonce, credential: _credential, resume: _resume, ...rest } = hello;
  return rest;
}

function hashToken(token: string): string {
  return createHash('sha256').update(token).digest('hex');
}

function unauthorized(what: string): OverdubError {
  return new OverdubError(
    'UNAUTHORIZED',
    what,
    'The agent says hello again by itself; a ramdisk that cannot must be booted anew.',
  );
}
