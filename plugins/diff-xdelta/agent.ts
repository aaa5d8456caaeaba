/** The half that runs on machines. */

import { defineAgentHalf } from '@overdub/core/agent';
import { xdeltaCodec } from './codec.ts';

export default defineAgentHalf({ name: 'diff-xdelta', codecs: [xdeltaCodec()] });
