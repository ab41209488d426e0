import CRabbitMQ
import EventBus
import Glibc

extension AMQPHandle {
    /// Connects and logs in. Blocks for at most twice the timeout, plus the time for resolving a name.
    func logIn(_ parameters: LoginParameters) throws(AMQPFailure) {
        var timeout = timeval(parameters.timeout)
        amqp_set_handshake_timeout(state, &timeout)
        amqp_set_rpc_timeout(state, &timeout)
        let status: Int32
        if let tls = parameters.tls {
            status = amqp_socket_open_noblock(try makeTLSSocket(tls), parameters.host, Int32(parameters.port), &timeout)
        } else {
            guard let socket = amqp_tcp_socket_new(state) else { throw AMQPFailure(.connectFailed, "out of memory") }
            status = amqp_socket_open_noblock(socket, parameters.host, Int32(parameters.port), &timeout)
        }
        if status != AMQP_STATUS_OK.rawValue {
            let text = String(cString: amqp_error_string2(status))
            // Other failures of a handshake may be those of a broker that is starting or stopping.
            let isRefused =
                status == AMQP_STATUS_SSL_PEER_VERIFY_FAILED.rawValue
                || status == AMQP_STATUS_SSL_HOSTNAME_VERIFY_FAILED.rawValue
            throw AMQPFailure(
                isRefused ? .tlsFailed : .connectFailed,
                "\(parameters.host):\(parameters.port): \(text)",
                isTimeout: Self.isTimeout(status)
            )
        }
        try authenticate(parameters)
        try acceptFrames(largerBy: parameters.frameReserve)
    }

    private func authenticate(_ parameters: LoginParameters) throws(AMQPFailure) {
        // The library's own properties lack the capabilities that report cancelled consumers and alarms.
        let arena = Arena()
        let capabilities: HeaderTable = [
            "consumer_cancel_notify": true, "connection.blocked": true, "publisher_confirms": true, "basic.nack": true,
            "exchange_exchange_bindings": true, "authentication_failure_close": true, "per_consumer_qos": true,
        ]
        var properties = arena.table([
            "product": "swift-event-bus", "connection_name": .string(parameters.connectionName),
            "capabilities": .table(capabilities),
        ])
        let reply: amqp_rpc_reply_t
        if parameters.tls?.usesCertificateIdentity == true {
            reply = eventbus_amqp_login_external(
                state,
                parameters.virtualHost,
                Int32(LoginParameters.frameMaximum),
                Int32(parameters.heartbeat),
                &properties,
                parameters.user
            )
        } else {
            reply = eventbus_amqp_login_plain(
                state,
                parameters.virtualHost,
                Int32(LoginParameters.frameMaximum),
                Int32(parameters.heartbeat),
                &properties,
                parameters.user,
                parameters.password
            )
        }
        switch reply.reply_type {
        case AMQP_RESPONSE_NORMAL:
            return
        case AMQP_RESPONSE_SERVER_EXCEPTION:
            if case .connectionClose(let code, let text) = IncomingMethod(reply.reply) {
                // The protocol requires a reply, although the connection ends either way.
                try? sendConnectionCloseOK()
                throw AMQPFailure(.connectionClosed(code), text)
            }
            throw AMQPFailure(.connectFailed, "the broker refused the login")
        default:
            let text = String(cString: amqp_error_string2(reply.library_error))
            // A peer that refuses our certificate reports that only now, by closing the connection.
            throw AMQPFailure(
                .connectFailed,
                "\(parameters.host):\(parameters.port): the login failed: \(text)",
                isTimeout: Self.isTimeout(reply.library_error)
            )
        }
    }

    private func makeTLSSocket(_ tls: RabbitConfiguration.TLS) throws(AMQPFailure) -> OpaquePointer {
        guard let socket = amqp_ssl_socket_new(state) else { throw AMQPFailure(.tlsFailed, "no TLS context") }
        guard amqp_ssl_socket_set_ssl_versions(socket, AMQP_TLSv1_2, AMQP_TLSvLATEST) == AMQP_STATUS_OK.rawValue else {
            throw AMQPFailure(.tlsFailed, "TLS 1.2 is not available")
        }
        amqp_ssl_socket_set_verify_peer(socket, tls.insecureSkipsVerification ? 0 : 1)
        amqp_ssl_socket_set_verify_hostname(socket, tls.insecureSkipsVerification ? 0 : 1)
        if !tls.insecureSkipsVerification {
            guard amqp_ssl_socket_set_cacert(socket, tls.caFile) == AMQP_STATUS_OK.rawValue else {
                throw AMQPFailure(.tlsFailed, "cannot load the CA certificates in \(tls.caFile)")
            }
        }
        if let certificate = tls.certificateFile, let key = tls.keyFile {
            // Always set, because otherwise OpenSSL would ask the terminal for it.
            let isSet = eventbus_amqp_set_key_password(socket, tls.keyPassword ?? "") != 0
            guard isSet || tls.keyPassword == nil else {
                throw AMQPFailure(
                    .tlsFailed,
                    "librabbitmq \(LinkedLibrary.version) cannot open an encrypted key; use 0.11 or later, or a key "
                        + "without a password"
                )
            }
            guard amqp_ssl_socket_set_key(socket, certificate, key) == AMQP_STATUS_OK.rawValue else {
                throw AMQPFailure(.tlsFailed, "cannot load the certificate \(certificate) with the key \(key)")
            }
        }
        return socket
    }
}

extension timeval {
    init(_ duration: Duration) {
        let (seconds, attoseconds) = duration.clampedToLongest.components
        self.init(tv_sec: Int(clamping: seconds), tv_usec: Int(attoseconds / 1_000_000_000_000))
    }
}
