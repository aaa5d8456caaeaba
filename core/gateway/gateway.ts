/** `/agent/v1/*`: sessions, tasks and transfers of agents, server side (docs/agent-protocol.md). */

import type { FastifyInstance } from 'fastify';
import type { AgentBundle } from '../contracts/agent-bundle.ts';
import type { AgentTarget, Presence, RunTaskOptions } from '../contracts/agent-tasks.ts';
import type { Clock } from '../contracts/clock.ts';
import type { DeltaCodec } from '../contracts/delta-codec.ts';
import type { AgentPolicy, Gateway } from '../contracts/gateway.ts';
import type { Log } from '../contracts/log.ts';
import type { Repository } from '../contracts/repository.ts';
import type { AgentTask, AgentTaskResult } from '../domain/protocol.ts';
import { installManners } from './http.ts';
import { ImageIndexes } from './image-index.ts';
import { Jobs } from './jobs.ts';
import { Reads } from './reads.ts';
import { addImageRoutes } from './routes-images.ts';
import { addSessionRoutes } from './routes-session.ts';
import { addTransferRoutes } from './routes-transfers.ts';
import { Sessions } from './sessions.ts';
import { Transfers } from './transfers.ts';

export interface GatewayOptions {
  readonly policy: AgentPolicy;
  readonly repository: Repository;
  readonly clock: Clock;
  readonly log: Log;
  /** What machines run. Absent where no plugin builds it: then only agents with a program of their own work. */
  readonly bundle?: () => Promise<AgentBundle>;
  /** The configured codecs; asked at each use, so that the gateway can be made before the plugins start. */
  readonly codecs: () => Promise<readonly DeltaCodec[]>;
  /** Scratch space: bases of deltas while an upload runs, unnamed files. Made where it is missing. */
  readonly spoolDir: string;
}

/** Everything the routes work with. */
export interface Rooms {
  readonly options: GatewayOptions;
  readonly sessions: Sessions;
  readonly jobs: Jobs;
  readonly transfers: Transfers;
  readonly reads: Reads;
  /** Fires when the gateway closes: waiting polls end. */
  readonly closing: AbortSignal;
}

/** The gateway over a policy and a repository. Owns no listener: `register` adds its routes to one. */
export function createGateway(options: GatewayOptions): Gateway {
  const { policy, repository, clock, log, codecs, spoolDir } = options;
  const closing = new AbortController();
  const sessions = new Sessions({ policy, repository, clock, log });
  const jobs = new Jobs(sessions, clock);
  const indexes = new ImageIndexes(repository);
  const transfers = new Transfers({ policy, repository, indexes, jobs, clock, log, codecs, spoolDir });
  const reads = new Reads({ policy, repository, indexes, codecs });
  const rooms: Rooms = { options, sessions, jobs, transfers, reads, closing: closing.signal };
  return {
    async register(server: FastifyInstance): Promise<void> {
      await server.register(
        async (scope) => {
          installManners(scope);
          addSessionRoutes(scope, rooms);
          addTransferRoutes(scope, rooms);
          addImageRoutes(scope, rooms);
        },
        { prefix: '/agent/v1' },
      );
    },
    present: (target: AgentTarget): Presence | undefined => sessions.present(target),
    waitFor: (target, signal) => sessions.waitFor(target, signal),
    recall: (target) => jobs.recall(target),
    run: <T extends AgentTask>(target: AgentTarget, task: T, run: RunTaskOptions) =>
      jobs.run(target, task, run) as Promise<AgentTaskResult<T>>,
    async close(): Promise<void> {
      closing.abort(new Error('the gateway is closing'));
      jobs.close();
      await transfers.close();
    },
  };
}
