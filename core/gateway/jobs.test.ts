import { describe, expect, it, vi } from 'vitest';
import type { AgentPolicy } from '../contracts/gateway.ts';
import type { RebootTask } from '../domain/protocol.ts';
import { ManualClock, MemoryRepository, recordingLog } from '../testing/index.ts';
import { Jobs } from './jobs.ts';
import { type Session, Sessions } from './sessions.ts';

const task: RebootTask = { kind: 'reboot', id: 'op-1/reboot', operation: 'op-1', to: 'ramdisk' };
const target = { machineId: 'm-1', where: 'ramdisk' as const };

class Fixture {
  readonly clock = new ManualClock();
  readonly identity = { machineId: 'm-1', standing: 'assigned' as 'assigned' | 'held', by: 'm-1' };
  readonly policy: AgentPolicy = {
    admit: async () => ({ identity: this.identity, welcome: { standing: this.identity.standing } }),
    readmit: async () => ({ identity: { ...this.identity }, welcome: { standing: this.identity.standing } }),
  } as unknown as AgentPolicy;
  readonly repository = new MemoryRepository();
  readonly sessions = new Sessions({
    policy: this.policy,
    repository: this.repository,
    clock: this.clock,
    log: recordingLog(),
  });
  readonly jobs = new Jobs(this.sessions, this.clock);
  readonly stop = new AbortController();

  async session(bootId = 'b-1'): Promise<Session> {
    const hello = { protocol: 1, where: 'ramdisk', bootId, nonce: 'n' };
    return (await this.sessions.open(hello, '::1')).session;
  }

  run(absenceMs = 60_000, onProgress = vi.fn()) {
    const result = this.jobs.run(target, task, { signal: this.stop.signal, onProgress, absenceMs });
    result.catch(() => undefined);
    return { result, onProgress };
  }
}

describe('tasks', () => {
  it('reach an agent that waits already, and one that comes later', async () => {
    const world = new Fixture();
    const session = await world.session();
    const waiting = world.jobs.next(session, 25_000, world.stop.signal);
    const { result } = world.run();
    expect(await waiting).toEqual(task);
    expect(world.jobs.report(session, task.id, { state: 'done', result: { ok: 1 } })).toEqual({ go: false });
    expect(await result).toEqual({ ok: 1 });
    const later = world.run();
    expect(await world.jobs.next(await world.session('b-2'), 0, world.stop.signal)).toEqual(task);
    world.stop.abort(new Error('over'));
    await expect(later.result).rejects.toThrow('over');
  });

  it('none: a poll ends at once, with fresh orders, when what they tell has changed', async () => {
    const world = new Fixture();
    const session = await world.session();
    const waiting = world.jobs.next(session, 25_000, world.stop.signal);
    const { identity } = session;
    world.jobs.recall({ ...target, machineId: 'm-2' });
    world.jobs.recall(target);
    expect(await waiting).toBeUndefined();
    expect(session.identity).not.toBe(identity);
  });

  it('are given again to an agent that asks again: its answer was lost', async () => {
    const world = new Fixture();
    const session = await world.session();
    world.run();
    expect(await world.jobs.next(session, 0, world.stop.signal)).toEqual(task);
    expect(await world.jobs.next(session, 0, world.stop.signal)).toEqual(task);
  });

  it('with the same id are one: both callers get its result', async () => {
    const world = new Fixture();
    const session = await world.session();
    const [one, two] = [world.run(), world.run()];
    world.jobs.report(session, task.id, { state: 'done', result: 7 });
    expect(await Promise.all([one.result, two.result])).toEqual([7, 7]);
  });

  it('report progress to whoever waits, and fail with the agent’s own error', async () => {
    const world = new Fixture();
    const session = await world.session();
    const { result, onProgress } = world.run();
    expect(world.jobs.report(session, task.id, { state: 'running', progress: { doneBytes: 3 } })).toEqual({
      go: true,
    });
    expect(onProgress).toHaveBeenCalledWith({ doneBytes: 3 });
    const error = { code: 'DISK_UNSUITABLE', message: 'too small', remedy: 'a larger one' };
    world.jobs.report(session, task.id, { state: 'failed', error });
    await expect(result).rejects.toMatchObject(error);
  });

  it('end as AGENT_LOST when nobody comes, or whoever took it stays silent', async () => {
    const world = new Fixture();
    const nobody = world.run(10_000);
    await world.clock.advance(12_000);
    await expect(nobody.result).rejects.toMatchObject({ code: 'AGENT_LOST' });
    const session = await world.session();
    const taken = world.run(10_000);
    await world.jobs.next(session, 0, world.stop.signal);
    for (let beat = 0; beat < 4; beat++) {
      await world.clock.advance(8_000);
      expect(world.jobs.report(session, task.id, { state: 'running', progress: {} }).go).toBe(true);
    }
    await world.clock.advance(12_000);
    await expect(taken.result).rejects.toMatchObject({ code: 'AGENT_LOST' });
    expect(world.jobs.report(session, task.id, { state: 'running', progress: {} }).go).toBe(false);
  });

  it('wait for an agent that is busy with something else', async () => {
    const world = new Fixture();
    const session = await world.session();
    const { result } = world.run(10_000);
    for (let beat = 0; beat < 5; beat++) {
      await world.clock.advance(8_000);
      world.sessions.seen(session);
    }
    expect(await world.jobs.next(session, 0, world.stop.signal)).toEqual(task);
    world.jobs.report(session, task.id, { state: 'done', result: {} });
    await result;
  });

  it('are not given to a held machine until it is accepted', async () => {
    const world = new Fixture();
    world.identity.standing = 'held';
    const session = await world.session();
    const waiting = world.jobs.next(session, 20_000, world.stop.signal);
    world.run();
    await world.clock.advance(1_000);
    world.identity.standing = 'assigned';
    world.identity.by = 'accepted';
    await world.clock.advance(20_000);
    expect(await waiting).toEqual(task);
  });

  it('are not another agent’s to report', async () => {
    const world = new Fixture();
    const { result } = world.run();
    const stranger = await world.session();
    stranger.identity = { ...stranger.identity, machineId: 'm-2' };
    expect(world.jobs.report(stranger, task.id, { state: 'done', result: 'forged' })).toEqual({ go: false });
    expect(() => world.jobs.of(stranger, task.id)).toThrow(/Nobody waits/);
    world.stop.abort(new Error('over'));
    await expect(result).rejects.toThrow('over');
  });
});

describe('presence', () => {
  it('is found by machine and place, lasts as long as signs of life, and wakes those who wait', async () => {
    const world = new Fixture();
    expect(world.sessions.present(target)).toBeUndefined();
    const waiting = world.sessions.waitFor({ ...target, notBootId: 'b-1' }, world.stop.signal);
    await world.session('b-1');
    expect(world.sessions.present(target)).toMatchObject({ bootId: 'b-1', machineId: 'm-1' });
    expect(world.sessions.present({ ...target, where: 'server' })).toBeUndefined();
    await world.session('b-2');
    expect(await waiting).toMatchObject({ bootId: 'b-2' });
    await world.clock.advance(40_000);
    expect(world.sessions.present(target)).toBeUndefined();
  });

  it('ends with a refusal, also of who was found before', async () => {
    const world = new Fixture();
    const session = await world.session();
    world.sessions.stillThere(session);
    world.policy.readmit = async () => {
      throw new Error('not any more');
    };
    await expect(world.sessions.refresh(session)).rejects.toThrow('not any more');
    expect(() => world.sessions.stillThere(session)).toThrow('This agent session has ended.');
  });

  it('stops being waited for with the signal', async () => {
    const world = new Fixture();
    const waiting = world.sessions.waitFor(target, world.stop.signal);
    world.stop.abort(new Error('given up'));
    await expect(waiting).rejects.toThrow('given up');
  });
});
