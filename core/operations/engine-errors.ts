import type { Operation } from '../domain/operation.ts';
import { OverdubError } from '../errors.ts';

/** The error a cancelled operation ends with. */
export function cancellation(by: string): OverdubError {
  return new OverdubError(
    'OPERATION_CANCELLED',
    `The operation was cancelled by ${by}.`,
    'Start it again when you want it.',
  );
}

export function busyServer(server: string, { kind, id }: Operation): OverdubError {
  return new OverdubError(
    'CONFLICT',
    `${server} is busy: ${kind} ${id} works on it.`,
    `Wait for it (overdub operation show ${id}) and try again.`,
  );
}

export function cannotCancel({ kind, id }: Operation, why: string): OverdubError {
  return new OverdubError(
    'CONFLICT',
    `${kind} ${id} cannot be cancelled: ${why}.`,
    `See how it goes: overdub operation show ${id}.`,
  );
}

export function noSuchOperation(id: string): OverdubError {
  return new OverdubError('NOT_FOUND', `There is no operation ${id}.`, 'List them: overdub operation list.');
}

/** Ends what an agent drove while the appliance was restarted. */
export function interrupted(): OverdubError {
  return new OverdubError(
    'AGENT_LOST',
    'The appliance was restarted while the agent sent this snapshot; nothing was committed.',
    'Nothing to do: the agent takes another one at its next interval.',
  );
}

/** For callers that wait while the appliance stops. */
export function stopping(): OverdubError {
  return new OverdubError(
    'CONFLICT',
    'The appliance is stopping; open operations go on when it starts again.',
    'Ask again when the appliance is up.',
  );
}
