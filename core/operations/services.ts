/** What operations work with. */

import type { Catalogue } from '../catalogue/catalogue.ts';
import type { AgentTasks } from '../contracts/agent-tasks.ts';
import type { Clock } from '../contracts/clock.ts';
import type { ImageSource } from '../contracts/image-source.ts';
import type { Log } from '../contracts/log.ts';
import type { PowerService } from '../contracts/power.ts';
import type { Repository } from '../contracts/repository.ts';
import type { Operation } from '../domain/operation.ts';
import type { CredentialIssuer } from './credentials.ts';
import type { NewOperation } from './engine.ts';
import type { EventBus } from './events.ts';
import type { ServerBook } from './server-book.ts';

export interface OperationServices {
  readonly catalogue: Catalogue;
  readonly repository: Repository;
  readonly agents: AgentTasks;
  readonly servers: ServerBook;
  readonly credentials: CredentialIssuer;
  readonly power: PowerService;
  readonly clock: Clock;
  readonly log: Log;
  readonly events: EventBus;
  /** Operations that have not ended. */
  openOperations(): readonly Operation[];
  /** Queues another operation; see {@link Engine.submit}. */
  submit(request: NewOperation): Promise<Operation>;
  /** See {@link Engine.wait}. */
  wait(id: string, options: { readonly signal: AbortSignal }): Promise<Operation>;
  /** Who reads this path as a master; undefined: nobody. */
  openSource(path: string): Promise<ImageSource | undefined>;
}
