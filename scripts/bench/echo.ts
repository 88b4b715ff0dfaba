// The limit of every request over TLS in Node: answers each line with one fixed text, and knows nothing else.
// Arguments: port, certificate chain, key, text.
import { readFileSync } from 'node:fs'
import { createServer } from 'node:tls'

const [port = '', chain = '', key = '', text = ''] = process.argv.slice(2)
const server = createServer(
  { cert: readFileSync(chain), key: readFileSync(key), minVersion: 'TLSv1.2', noDelay: true },
  (socket) => {
    socket.on('error', () => socket.destroy())
    socket.on('data', (chunk) => {
      let from = 0
      for (let at = chunk.indexOf(10); at !== -1; at = chunk.indexOf(10, from)) {
        const line = chunk.toString('utf8', from, at)
        if (line.length > 0) socket.write(text)
        from = at + 1
      }
    })
  },
)
server.listen(Number(port), '127.0.0.1', () => console.log('ready'))
