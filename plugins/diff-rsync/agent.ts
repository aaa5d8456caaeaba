/** The half that runs on machines. */

import { defineAgentHalf } from '@overdub/core/agent';
import { rsyncCodec } from './codec.ts';

export default defineAgentHalf({ name: 'diff-rsync', codecs: [rsyncCodec()] });
