/** The half that runs on machines: deltas are made there. */

import { defineAgentHalf } from '@overdub/core/agent';
import { testBlocksCodec } from './codec.ts';

export default defineAgentHalf({ name: 'own-codec', codecs: [testBlocksCodec()] });
