/** A machine in the test's hands: it netboots and speaks the agent protocol, and does what the test says. */

import { randomUUID } from 'node:crypto';
import type {
  AgentTask,
  DiskFacts,
  ErrorBody,
  Hello,
  InstallTask,
  MachineFacts,
  Orders,
  TaskAnswer,
  TaskReport,
  Welcome,
} from '@overdub/core/agent';
import { until } from './room.ts';

/** What a machine is made of. */
export interface Hardware {
  readonly mac: string;
  readonly uuid?: string;
  /** Of its one disk. */
  readonly diskBytes?: number;
}

/** An answer of the appliance that is no success. */
export class Refused extends Error {
  readonly status: number;
  readonly error: ErrorBody | undefined;

  constructor(status: number, text: string) {
    super(`${status}: ${text}`);
    this.name = 'Refused';
    this.status = status;
    this.error = text.startsWith('{"error"') ? (JSON.parse(text) as { error: ErrorBody }).error : undefined;
  }
}

export class ScriptedMachine {
  readonly hardware: Hardware;
  /** Base URL of the appliance. */
  readonly url: string;
  #self: Omit<Hello, 'nonce' | 'credential' | 'resume'> | undefined;
  #session: string | undefined;

  constructor(url: string, hardware: Hardware) {
    this.url = url;
    this.hardware = hardware;
  }

  get facts(): MachineFacts {
    const { mac, uuid, diskBytes = 20 * 1024 ** 3 } = this.hardware;
    const disk: DiskFacts = {
      name: 'vda',
      bytes: diskBytes,
      sectorBytes: 512,
      transport: 'virtio',
      serial: `disk-of-${mac}`,
      removable: false,
    };
    return {
      ...(uuid === undefined ? {} : { uuid }),
      firmware: 'bios',
      arch: 'x86_64',
      cpu: { model: 'scripted', cores: 1 },
      memoryBytes: 1024 ** 3,
      disks: [disk],
      nics: [{ name: 'eth0', mac }],
      dmi: {},
    };
  }

  /** As iPXE: asks for its boot script; the nonce in it, or undefined where it is to boot its disk. */
  async netboot(): Promise<string | undefined> {
    const { mac, uuid } = this.hardware;
    const query = new URLSearchParams({ mac, arch: 'bios-x86', ...(uuid === undefined ? {} : { uuid }) });
    const answer = await fetch(`${this.url}/boot/ipxe/script?${query}`);
    const text = await answer.text();
    if (!answer.ok) throw new Refused(answer.status, text);
    return /\/session\/([^/]+)\.cpio/.exec(text)?.[1];
  }

  /** Netboots, and its agent in the ramdisk says hello. */
  async bootRamdisk(facts: object = this.facts): Promise<Welcome> {
    const nonce = await this.netboot();
    if (nonce === undefined) throw new Error('the machine was told to boot its disk');
    return this.#hello('ramdisk', { nonce, facts: facts as MachineFacts });
  }

  /** The server on its disk starts, and its agent says hello. */
  bootServer(credential: string): Promise<Welcome> {
    return this.#hello('server', { credential, facts: this.facts });
  }

  /** Waits for a task; a session that a restarted appliance does not know is renewed. */
  async nextTask(): Promise<AgentTask> {
    return until('the appliance has a task for the agent', async () => {
      const { task } = await this.#call<Orders>('GET', '/task?wait=5');
      return task;
    });
  }

  /** Carries out an install as an agent reports it: installed, rebooted, up. Resolves with its credential. */
  async install(task: InstallTask): Promise<string> {
    const result = { diskPin: `disk-of-${this.hardware.mac}`, writtenBytes: 5000, bytesReceived: 4000 };
    await this.report(task, { state: 'done', result });
    const reboot = await this.nextTask();
    if (reboot.kind !== 'reboot' || reboot.to !== 'local')
      throw new Error(`not the order to boot: ${reboot.kind}`);
    await this.report(reboot, { state: 'done', result: {} });
    if ((await this.netboot()) !== undefined) throw new Error('the machine is kept from its disk');
    return task.credential;
  }

  report(task: AgentTask, report: TaskReport): Promise<TaskAnswer> {
    return this.#call('POST', `/tasks/${encodeURIComponent(task.id)}`, report);
  }

  async #hello(where: Hello['where'], secrets: Partial<Hello>): Promise<Welcome> {
    this.#self = { protocol: 1, where, bootId: randomUUID() };
    const welcome = await request<Welcome>(`${this.url}/agent/v1/hello`, {
      method: 'POST',
      body: { ...this.#self, ...secrets },
    });
    this.#session = welcome.session;
    return welcome;
  }

  async #call<T>(method: string, path: string, body?: object): Promise<T> {
    const again = () =>
      request<T>(`${this.url}/agent/v1${path}`, {
        method,
        ...(body === undefined ? {} : { body }),
        bearer: this.#session,
      });
    try {
      return await again();
    } catch (error) {
      if (!(error instanceof Refused) || error.status !== 401 || this.#session === undefined) throw error;
      const hello = { ...this.#self, resume: this.#session };
      const welcome = await request<Welcome>(`${this.url}/agent/v1/hello`, { method: 'POST', body: hello });
      this.#session = welcome.session;
      return again();
    }
  }
}

async function request<T>(
  url: string,
  { method, body, bearer }: { method: string; body?: object; bearer?: string | undefined },
): Promise<T> {
  const answer = await fetch(url, {
    method,
    headers: {
      ...(bearer === undefined ? {} : { authorization: `Bearer ${bearer}` }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await answer.text();
  if (!answer.ok) throw new Refused(answer.status, text);
  return JSON.parse(text) as T;
}
