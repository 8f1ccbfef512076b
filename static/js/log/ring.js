// The live log's WebSocket, used as a bell: a frame says that there is more and which lines changed; the lines
// themselves are fetched, since the server alone knows what a terminal would show of them.
//
// It goes on at the last offset when the connection breaks, and tells `listener`:
//   onGrow({changedFrom, total})   lines from `changedFrom` on are new, of `total`, numbered from 0
//   onState(state, words)          "live", "stale" or "paused", and what to say
//   onLost()                       the connection is gone for now: what can be fetched is the only news
//   onEnd()                        the attempt has ended, and all of its log was announced

const FIRST_RETRY_MS = 1000;
const MAX_RETRY_MS = 30000;
const CLOSE_NORMAL = 1000;
const CLOSE_FORBIDDEN = 4403;
const CLOSE_UNKNOWN = 4404;

// How many lines a log has when this frame is its end, and the first that it changes.
export function growthOf(frame) {
  const changedFrom = frame.line - 1;
  let feeds = 0;
  for (let at = frame.text.indexOf("\n"); at >= 0; at = frame.text.indexOf("\n", at + 1)) feeds += 1;
  const isOpen = frame.text !== "" && !frame.text.endsWith("\n");
  return { changedFrom, total: changedFrom + feeds + (isOpen ? 1 : 0) };
}

export class Ring {
  constructor({ address, offset, listener, openSocket = (url) => new WebSocket(url) }) {
    this.address = address;
    this.offset = offset;
    this.listener = listener;
    this.openSocket = openSocket;
    this.failures = 0;
  }

  connect() {
    const address = new URL(this.address);
    address.searchParams.set("offset", this.offset);
    this.socket = this.openSocket(address);
    this.socket.addEventListener("message", (event) => this.#receive(JSON.parse(event.data)));
    this.socket.addEventListener("close", (event) => this.#noticeClose(event.code));
  }

  stop() {
    this.isStopped = true;
    clearTimeout(this.retryTimer);
    this.socket?.close();
  }

  #receive(frame) {
    this.failures = 0;
    if (frame.type === "log") this.#receiveLog(frame);
    if (frame.type === "status") this.listener.onState("live", frame.phase || frame.status);
    if (frame.type === "end") this.hasEnded = true;
  }

  #receiveLog(frame) {
    if (frame.offset !== this.offset) {
      this.socket.close(); // a gap or a repeat: ask again from where this reader stands
      return;
    }
    this.offset = frame.next_offset;
    this.listener.onGrow(growthOf(frame));
  }

  #noticeClose(code) {
    if (this.isStopped) return;
    if (this.hasEnded || code === CLOSE_NORMAL) {
      this.listener.onState("paused", "complete");
      this.listener.onEnd();
    } else if (code === CLOSE_FORBIDDEN) {
      this.listener.onState("stale", "you may not read this log any more; reload the page");
    } else if (code === CLOSE_UNKNOWN) {
      this.listener.onState("stale", "this log is gone; reload the page");
    } else {
      this.#retry();
    }
  }

  #retry() {
    const delay = Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** this.failures) * (0.75 + Math.random() / 2);
    this.failures += 1;
    this.listener.onState("stale", "reconnecting");
    this.retryTimer = setTimeout(() => {
      this.connect();
      this.listener.onLost();
    }, delay);
  }
}
