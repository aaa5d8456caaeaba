/** What happened, for notifiers, the console and webhooks. */
export type EventType =
  | 'machine.seen'
  | 'machine.held'
  | 'machine.accepted'
  | 'machine.rejected'
  | 'server.state'
  | 'snapshot.committed'
  | 'snapshot.overdue'
  | 'snapshot.removed'
  | 'operation.started'
  | 'operation.waiting'
  | 'operation.done'
  | 'operation.failed'
  | 'plugin.failed'
  | 'repository.low-space'
  | 'repository.damaged';

export interface Event {
  readonly id: string;
  readonly type: EventType;
  /** Appliance clock, ISO 8601 UTC. */
  readonly at: string;
  readonly subject: {
    readonly machine?: string;
    readonly server?: string;
    readonly operation?: string;
    readonly plugin?: string;
  };
  readonly text: string;
  readonly data: Readonly<Record<string, unknown>>;
}
