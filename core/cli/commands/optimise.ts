import type { Operation } from '../../domain/operation.ts';
import { type Command, defineCommand } from '../command.ts';
import { showOperation, WAIT_FLAGS } from '../wait.ts';

export const optimiseCommand: Command = defineCommand({
  path: ['optimise'],
  summary: 'Compress the repository harder, in the background',
  positionals: [],
  flags: { ...WAIT_FLAGS },
  examples: ['overdub optimise', 'overdub optimise --no-wait'],
  async run(call) {
    const client = call.client();
    return showOperation(call, client, await client.post<Operation>('/operations/optimise'));
  },
});
