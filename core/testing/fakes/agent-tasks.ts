import type { AgentTarget, AgentTasks, Presence, RunTaskOptions } from '../../contracts/agent-tasks.ts';
import type { AgentTask, AgentTaskResult } from '../../domain/protocol.ts';
import type { Snapshot } from '../../domain/snapshot.ts';
import { OverdubError } from '../../errors.ts';

type WaitTarget = AgentTarget & { readonly notBootId?: string; readonly generation?: number };

interface Box {
  readonly machineId: string;
  presence: Presence | undefined;
  /** What the disk holds, as the last install or restore left it. */
  disk: { server: string; generation: number; root: string } | undefined;
}

/**
 * Machines and their agents in memory: they carry out tasks, keep results by task id, and reboot as they are told.
 * What a machine boots next is asked of `bootPlan`, as a real one asks the appliance.
 */
export class FakeAgents implements AgentTasks {
  /** Whose agents were told to ask anew. */
  readonly recalled: AgentTarget[] = [];
  /** Every task that was carried out (not replayed), in order. */
  readonly done: AgentTask[] = [];
  /** Called before a task is carried out; what it throws is what the task fails with. */
  beforeTask: (task: AgentTask) => void | Promise<void> = () => undefined;
  /** What the snapshot task of an agent commits. */
  takeSnapshot: (task: Extract<AgentTask, { kind: 'snapshot' }>) => Promise<Snapshot> = async () => {
    throw new Error('takeSnapshot is not set');
  };
  bootPlan: (machineId: string) => Promise<'ramdisk' | 'local' | 'silent'> = async () => 'ramdisk';
  readonly #boxes = new Map<string, Box>();
  readonly #results = new Map<string, unknown>();
  readonly #waiters = new Set<() => void>();
  #boots = 0;

  /** Switches a machine on: it boots what the plan says. Off and on again when it was on. */
  async powerOn(machineId: string): Promise<void> {
    const box = this.#boxes.get(machineId) ?? { machineId, presence: undefined, disk: undefined };
    this.#boxes.set(machineId, box);
    box.presence = undefined;
    const plan = await this.#askPlan(machineId);
    this.#boots += 1;
    const common = {
      machineId,
      bootId: `boot-${this.#boots}`,
      since: new Date(this.#boots * 1000).toISOString(),
    };
    if (plan === 'ramdisk') box.presence = { ...common, where: 'ramdisk' };
    if (plan === 'local' && box.disk !== undefined) {
      const { server, generation } = box.disk;
      box.presence = { ...common, where: 'server', server, generation };
    }
    for (const waiter of [...this.#waiters]) waiter();
  }

  /** Pulls the plug. */
  powerOff(machineId: string): void {
    const box = this.#boxes.get(machineId);
    if (box !== undefined) box.presence = undefined;
  }

  /** Root digest of the image on a machine's disk. */
  diskOf(machineId: string): string | undefined {
    return this.#boxes.get(machineId)?.disk?.root;
  }

  recall(target: AgentTarget): void {
    this.recalled.push(target);
  }

  present(target: AgentTarget): Presence | undefined {
    return this.#find(target)?.presence;
  }

  waitFor(target: WaitTarget, signal: AbortSignal): Promise<Presence> {
    return new Promise((resolve, reject) => {
      const look = () => {
        const presence = this.#find(target)?.presence;
        if (presence === undefined || presence.bootId === target.notBootId) return;
        if (target.generation !== undefined && presence.generation !== target.generation) return;
        release();
        resolve(presence);
      };
      const onAbort = () => {
        release();
        reject(signal.reason);
      };
      const release = () => {
        this.#waiters.delete(look);
        signal.removeEventListener('abort', onAbort);
      };
      if (signal.aborted) return onAbort();
      this.#waiters.add(look);
      signal.addEventListener('abort', onAbort, { once: true });
      look();
    });
  }

  async run<T extends AgentTask>(
    target: AgentTarget,
    task: T,
    options: RunTaskOptions,
  ): Promise<AgentTaskResult<T>> {
    options.signal.throwIfAborted();
    const known = this.#results.get(task.id);
    if (known !== undefined) return known as AgentTaskResult<T>;
    const box = this.#find(target);
    if (box === undefined) throw lost(target);
    await this.beforeTask(task);
    options.signal.throwIfAborted();
    options.onProgress({ text: task.kind });
    const result = await this.#carryOut(box, task);
    this.#results.set(task.id, result);
    this.done.push(task);
    return result as AgentTaskResult<T>;
  }

  async #carryOut(box: Box, task: AgentTask): Promise<unknown> {
    switch (task.kind) {
      case 'install':
        box.disk = diskOf(task);
        return { diskPin: `disk-of-${box.machineId}`, writtenBytes: task.image.bytes, bytesReceived: 1000 };
      case 'restore':
        if (!task.dryRun) box.disk = diskOf(task);
        return { written: 1, removed: 0, metadataOnly: 0, writtenBytes: 10, bytesReceived: 10, changes: [] };
      case 'snapshot':
        return { snapshot: await this.takeSnapshot(task) };
      case 'reboot':
        // It answers, then goes.
        setTimeout(() => void this.powerOn(box.machineId), 0);
        return {};
    }
  }

  /** Firmware that asks again while nobody answers, for a while; then it stays off. */
  async #askPlan(machineId: string): Promise<'ramdisk' | 'local' | 'silent'> {
    for (let tries = 0; tries < 100; tries++) {
      try {
        return await this.bootPlan(machineId);
      } catch {
        await new Promise((resolve) => setTimeout(resolve, 2));
      }
    }
    return 'silent';
  }

  #find(target: AgentTarget): Box | undefined {
    return [...this.#boxes.values()].find(
      ({ presence }) =>
        presence?.where === target.where &&
        (target.machineId === undefined || presence.machineId === target.machineId) &&
        (target.server === undefined || presence.server === target.server),
    );
  }
}

function diskOf({ server, image }: Extract<AgentTask, { kind: 'install' | 'restore' }>) {
  return { server: server.name, generation: server.generation, root: image.root };
}

function lost(target: AgentTarget): OverdubError {
  const who = target.server ?? target.machineId;
  return new OverdubError('AGENT_LOST', `No agent of ${who} is there.`, 'Switch it on.');
}
