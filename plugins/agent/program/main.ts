/** The agent: waits for work, does it, takes snapshots on schedule. The same program in ramdisk and server. */

import { mkdir } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { type AgentHalf, type Clock, type MachineFacts, PROTOCOL_VERSION } from '@overdub/core/agent';
import { reportNeighbours } from './inventory/neighbours.ts';
import { Appliance, type Self } from './link/appliance.ts';
import { type AgentEnd, type AgentOptions, codecsOf } from './options.ts';
import { Results } from './results.ts';
import { Schedule } from './schedule.ts';
import { Work } from './work.ts';

const realClock: Clock = {
  now: () => Date.now(),
  sleep: async (ms, signal) => {
    await delay(ms, undefined, signal === undefined ? {} : { signal });
  },
};

/** Runs until it is aborted, the machine is to reboot, or another bundle is served. */
export async function runAgent(options: AgentOptions, halves: readonly AgentHalf[]): Promise<AgentEnd> {
  const clock = options.clock ?? realClock;
  await mkdir(options.stateDir, { recursive: true, mode: 0o700 });
  const disks = halves.flatMap((half) => half.imagers ?? []).find((imager) => imager.disks)?.disks;
  const facts = options.root === '/' ? await disks?.facts() : undefined;
  const { url, where, bootId, nonce, credential, resume, server, generation } = options;
  const hello: Self['hello'] & { facts?: MachineFacts } = {
    protocol: PROTOCOL_VERSION,
    where,
    bootId,
    ...(server === undefined ? {} : { server }),
    ...(generation === undefined ? {} : { generation }),
    ...(facts === undefined ? {} : { facts }),
  };
  const appliance = new Appliance({
    url,
    self: {
      hello,
      ...(nonce === undefined ? {} : { nonce }),
      ...(credential === undefined ? {} : { credential }),
      ...(resume === undefined ? {} : { resume }),
    },
    sleep: (ms, signal) => clock.sleep(ms, signal),
    ...(options.onSession === undefined ? {} : { onSession: options.onSession }),
  });
  const work = new Work({
    options,
    appliance,
    clock,
    halves,
    codecs: codecsOf(halves),
    facts,
    results: await Results.open(options.stateDir),
    schedule: await Schedule.open(options.stateDir, clock),
  });
  const over = new AbortController();
  const signal = AbortSignal.any([over.signal, options.signal]);
  const listening =
    where === 'ramdisk' && facts !== undefined
      ? reportNeighbours({
          facts,
          signal,
          print: options.print,
          sleep: (ms, stop) => clock.sleep(ms, stop),
          tell: async (complete) => {
            hello.facts = complete;
            await appliance.hello(signal);
          },
        })
      : undefined;
  try {
    return await work.run();
  } finally {
    over.abort();
    await listening;
    appliance.close();
  }
}
