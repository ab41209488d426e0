import COpenSSL
import ConnectionThread
import EventBus

/// A TLS session over a socket. It is used on one thread.
///
/// OpenSSL reads and writes a pair of buffers instead of the socket, because its own socket functions raise SIGPIPE.
final class TLSStream {
    private let socket: RedisSocket
    private let context: TLSContext
    private let session: OpaquePointer
    /// The end of the buffers that OpenSSL uses. The session owns it.
    private let inner: OpaquePointer
    /// The end of the buffers for encrypted bytes from and to the socket.
    private let outer: OpaquePointer
    private let host: String
    /// A Boolean value indicating whether the last read of the socket filled the buffer, so that more may follow.
    private var didFill = false

    /// The size of each buffer in bytes, which is enough for several records.
    private static var bufferSize: Int { 64 << 10 }

    /// Creates a session with the server at `host`. It sends nothing yet.
    init(
        over socket: RedisSocket,
        to host: String,
        _ settings: RedisConfiguration.TLS
    ) throws(EventBusError) {
        let context = try TLSContext(settings)
        var inner: OpaquePointer?
        var outer: OpaquePointer?
        guard let session = SSL_new(context.handle),
            BIO_new_bio_pair(&inner, Self.bufferSize, &outer, Self.bufferSize) == 1, let inner, let outer
        else {
            throw EventBusError(.unavailable, "no memory for TLS")
        }
        SSL_set_bio(session, inner, inner)
        SSL_set_connect_state(session)
        self.socket = socket
        self.context = context
        self.session = session
        self.inner = inner
        self.outer = outer
        self.host = settings.serverName ?? host
        // An address is compared with the addresses in the certificate, and is not sent as a name.
        let isAddress = X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(session), self.host) == 1
        ERR_clear_error()
        guard !isAddress else { return }
        SSL_set_hostflags(session, UInt32(X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS))
        guard SSL_set1_host(session, self.host) == 1, eventbus_tls_set_server_name(session, self.host) == 1 else {
            throw EventBusError(.invalidConfiguration, "\(self.host.quotedForError) is no name of a TLS server")
        }
    }

    deinit {
        SSL_free(session)
        BIO_free(outer)
    }

    /// The protocol version, such as `TLSv1.3`.
    var version: String { SSL_get_version(session).map { String(cString: $0) } ?? "unknown" }

    /// The number of encrypted bytes that wait for the socket to accept them.
    var undeliveredByteCount: Int { BIO_ctrl_pending(outer) }

    /// A Boolean value indicating whether bytes may be available although the socket is not readable.
    var hasInput: Bool { didFill || SSL_pending(session) > 0 || BIO_ctrl_pending(inner) > 0 }

    /// Continues the handshake as far as possible. Returns `true` when it is complete.
    func shakeHands() throws(EventBusError) -> Bool {
        while true {
            ERR_clear_error()
            let result = SSL_do_handshake(session)
            let outcome = SSL_get_error(session, result)
            switch outcome {
            case SSL_ERROR_NONE, SSL_ERROR_WANT_READ, SSL_ERROR_WANT_WRITE: break
            default:
                let failure = failure()
                // Tells the server the reason.
                _ = flush()
                throw unavailable(failure)
            }
            let sent = flush()
            try check(sent)
            if outcome == SSL_ERROR_NONE { return true }
            let transfer = outcome == SSL_ERROR_WANT_READ ? fill() : sent
            try check(transfer)
            guard case .moved = transfer else { return false }
        }
    }

    /// Reads decrypted bytes, at most those of one record.
    func read(into buffer: UnsafeMutableRawBufferPointer) -> RedisSocket.Transfer {
        while true {
            ERR_clear_error()
            let count = SSL_read(session, buffer.baseAddress, Int32(clamping: buffer.count))
            if count > 0 { return .moved(Int(count)) }
            let transfer: RedisSocket.Transfer
            switch SSL_get_error(session, count) {
            case SSL_ERROR_WANT_READ:
                // A reply of the protocol itself may wait. A server that refuses the connection has often closed it for
                // writing, and its reason is still to be read.
                let sent = flush()
                transfer = fill()
                if case .failed = sent {
                    guard case .moved = transfer else { return sent }
                }
            case SSL_ERROR_WANT_WRITE: transfer = flush()
            case SSL_ERROR_ZERO_RETURN: return .closed
            default: return .broken(failure())
            }
            guard case .moved = transfer else { return transfer }
        }
    }

    /// Encrypts bytes and writes them to the socket. Returns the number of encrypted bytes of `bytes`, some of which may
    /// still wait for the socket.
    func write(_ bytes: UnsafeRawBufferPointer) -> RedisSocket.Transfer {
        var written = 0
        while written < bytes.count {
            ERR_clear_error()
            let rest = UnsafeRawBufferPointer(rebasing: bytes[written...])
            let count = SSL_write(session, rest.baseAddress, Int32(clamping: rest.count))
            if count > 0 {
                written += Int(count)
                continue
            }
            switch SSL_get_error(session, count) {
            case SSL_ERROR_WANT_WRITE:
                let transfer = flush()
                guard case .moved = transfer else { return written > 0 ? .moved(written) : transfer }
            case SSL_ERROR_WANT_READ: return written > 0 ? .moved(written) : .wouldBlock
            default: return .broken(failure())
            }
        }
        if case .failed(let problem) = flush() { return .failed(problem) }
        return .moved(written)
    }

    /// Writes encrypted bytes to the socket. Returns `.moved` if none are left.
    func flush() -> RedisSocket.Transfer {
        var moved = 0
        while true {
            var start: UnsafeMutablePointer<CChar>?
            let count = BIO_nread0(outer, &start)
            guard count > 0, let start else { return .moved(moved) }
            let transfer = socket.write(UnsafeRawBufferPointer(start: start, count: Int(count)))
            guard case .moved(let written) = transfer else { return transfer }
            var taken: UnsafeMutablePointer<CChar>?
            BIO_nread(outer, &taken, Int32(written))
            moved += written
        }
    }

    /// Tells the server that nothing follows, as far as the socket accepts it.
    func close() {
        ERR_clear_error()
        SSL_shutdown(session)
        ERR_clear_error()
        _ = flush()
    }

    /// Reads encrypted bytes from the socket.
    private func fill() -> RedisSocket.Transfer {
        var start: UnsafeMutablePointer<CChar>?
        let space = BIO_nwrite0(outer, &start)
        guard space > 0, let start else { return .broken("a record of TLS exceeds its maximum size") }
        let transfer = socket.read(into: UnsafeMutableRawBufferPointer(start: start, count: Int(space)))
        didFill = false
        guard case .moved(let count) = transfer else { return transfer }
        var taken: UnsafeMutablePointer<CChar>?
        BIO_nwrite(outer, &taken, Int32(count))
        didFill = count == Int(space)
        return transfer
    }

    private func check(_ transfer: RedisSocket.Transfer) throws(EventBusError) {
        switch transfer {
        case .moved, .wouldBlock: return
        case .closed: throw unavailable("the server closed the connection; it may not use TLS on this port")
        case .failed(let problem): throw unavailable(String(errorNumber: problem))
        case .broken(let reason): throw unavailable(reason)
        }
    }

    /// Returns the reason for the last failure.
    private func failure() -> String {
        let verification = SSL_get_verify_result(session)
        let reason = TLSContext.takeFailure()
        guard verification != Int(X509_V_OK), SSL_get_verify_mode(session) != SSL_VERIFY_NONE else { return reason }
        let problem = X509_verify_cert_error_string(verification).map { String(cString: $0) } ?? reason
        return "the certificate is not valid for \(host.quotedForError): \(problem)"
    }

    private func unavailable(_ reason: String) -> EventBusError {
        EventBusError(.unavailable, "no TLS connection to Redis: \(reason)")
    }
}
