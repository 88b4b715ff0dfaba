// The limit of every request over TLS in Node: answers each line with one fixed text, and knows nothing else.
// Arguments: port, certificate chain, key, text.
import { readFileSync } from 'node:fs'
import { createServer } from 'node:tls'

const [port = '', chain = '', key = '', text = ''] = process.argv.slice(2)
const most = 64
const replies = Buffer.from(text.repeat(most))
const length = Buffer.byteLength(text)

const server = createServer(
  { cert: readFileSync(chain), key: readFileSync(key), minVersion: 'TLSv1.2', noDelay: true },
  (socket) => {
    socket.on('error', () => socket.destroy())
    socket.on('data', (chunk) => {
      let lines = 0
      for (let at = chunk.indexOf(10); at !== -1; at = chunk.indexOf(10, at + 1)) lines++
      for (; lines > most; lines -= most) socket.write(replies)
      socket.write(replies.subarray(0, lines * length))
    })
  },
)
server.listen(Number(port), '127.0.0.1', () => console.log('ready'))
