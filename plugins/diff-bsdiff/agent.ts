/** The half that runs on machines. */

import { defineAgentHalf } from '@overdub/core/agent';
import { bsdiffCodec } from './codec.ts';

export default defineAgentHalf({ name: 'diff-bsdiff', codecs: [bsdiffCodec()] });
