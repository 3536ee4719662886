'use strict';

// Closed to users: a file says so, so that it survives restarts and needs none.

const fs = require('node:fs');
const path = require('node:path');

class Door {
  constructor(file) {
    this.file = file;
  }

  get isClosed() {
    return fs.existsSync(this.file);
  }

  /** Returns whether it was open. */
  close() {
    const wasOpen = !this.isClosed;
    fs.mkdirSync(path.dirname(this.file), { recursive: true });
    fs.closeSync(fs.openSync(this.file, 'a', 0o640));
    return wasOpen;
  }

  /** Returns whether it was closed. */
  open() {
    const wasClosed = this.isClosed;
    fs.rmSync(this.file, { force: true });
    return wasClosed;
  }
}

module.exports = { Door };
