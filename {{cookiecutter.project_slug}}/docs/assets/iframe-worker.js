// A page that was opened from the disk may start no worker, and the search is one: it runs in a frame instead.
if (location.protocol === "file:") {
  // By its second name the theme knows that it is in a frame, and where to look for more.
  window.Worker = window.IFrameWorker = class extends EventTarget {
    constructor(address) {
      super()
      const frame = document.createElement("iframe")
      frame.hidden = true
      document.body.append(frame)
      const place = (this.place = frame.contentWindow)
      const load = (source) =>
        new Promise((done, failed) => {
          const script = place.document.createElement("script")
          Object.assign(script, { src: new URL(source, location.href).href, onload: done, onerror: failed })
          place.document.head.append(script)
        })
      place.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }))
      place.importScripts = (...sources) =>
        sources.reduce((before, source) => before.then(() => load(source)), Promise.resolve())
      this.ready = load(address)
    }

    postMessage(data) {
      const event = () => this.place.dispatchEvent(new this.place.MessageEvent("message", { data }))
      this.ready.then(event)
    }
  }
}
