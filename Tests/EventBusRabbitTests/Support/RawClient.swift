import ConnectionThread
import EventBusRabbit
import Glibc
import Testing

/// A client that sends data to a real broker that no library would send.
struct RawClient {
    private let socket: FrameSocket

    /// Runs `body` with a client that has an open channel 1. It blocks a separate thread.
    static func run<Result: Sendable>(
        _ configuration: RabbitConfiguration,
        frameMaximum: UInt32 = 131_072,
        _ body: @escaping @Sendable (RawClient) throws -> Result
    ) async throws -> Result {
        try await onThread {
            let client = try RawClient(configuration, frameMaximum)
            defer { close(client.socket.descriptor) }
            return try body(client)
        }
    }

    /// Returns a client that stays connected until ``disconnect()``.
    static func connect(_ configuration: RabbitConfiguration) async throws -> RawClient {
        try await onThread { try RawClient(configuration, 131_072) }
    }

    /// Closes the socket, which ends the client's consumers and exclusive queues.
    func disconnect() {
        close(socket.descriptor)
    }

    private init(_ configuration: RabbitConfiguration, _ frameMaximum: UInt32) throws {
        socket = FrameSocket(descriptor: try #require(connectOnLoopback(to: configuration.hosts[0].port)))
        socket.write(Array("AMQP".utf8) + [0, 0, 9, 1])
        try expect(10, 10)
        let credentials = configuration.credentials
        send(
            10,
            11,
            channel: 0,
            write: { bytes in
                bytes.longString([])
                bytes.shortString("PLAIN")
                bytes.longString([0] + Array(credentials.user.utf8) + [0] + Array(credentials.password.utf8))
                bytes.shortString("en_US")
            }
        )
        var tuning = try expect(10, 30)
        let channelMaximum = tuning.short()
        send(
            10,
            31,
            channel: 0,
            write: { bytes in
                bytes.short(min(channelMaximum, 2047))
                bytes.long(frameMaximum)
                bytes.short(0)
            }
        )
        send(
            10,
            40,
            channel: 0,
            write: { bytes in
                bytes.shortString(configuration.virtualHost)
                bytes.shortString("")
                bytes.octet(0)
            }
        )
        try expect(10, 41)
        send(20, 10, write: { $0.shortString("") })
        try expect(20, 11)
    }

    private func send(
        _ classID: UInt16,
        _ methodID: UInt16,
        channel: UInt16 = 1,
        write: (inout AMQPBytes) -> Void = { _ in }
    ) {
        socket.write(AMQPFrame(channel: channel, payload: AMQPBytes.method(classID, methodID, write)).encoded)
    }

    @discardableResult
    private func expect(_ classID: UInt16, _ methodID: UInt16) throws -> AMQPReader {
        while true {
            let frame = try #require(socket.readFrame(), "the broker hung up")
            guard frame.type == AMQPFrame.method else { continue }
            var reader = AMQPReader(frame.payload)
            let (gotClass, gotMethod) = (reader.short(), reader.short())
            if (gotClass, gotMethod) == (classID, methodID) { return reader }
            let isClose = (gotClass, gotMethod) == (10, 50) || (gotClass, gotMethod) == (20, 40)
            try #require(!isClose, "closed: \(String(decoding: frame.payload, as: UTF8.self))")
        }
    }

    /// Publishes with properties in raw form: the flags, then each property. Returns when the broker has the event.
    func publish(exchange: String, routingKey: String, flags: UInt16, properties: [UInt8], body: [UInt8]) throws {
        write(exchange: exchange, routingKey: routingKey, flags: flags, properties: properties, body: body)
        try expect(60, 80)
    }

    /// The broker's answer to an event.
    enum Answer {
        case accepted
        case refused
        /// The event was refused by closing the connection.
        case hungUp
    }

    /// Publishes like ``publish(exchange:routingKey:flags:properties:body:)``, and returns the broker's answer. If the
    /// broker closes the channel, it is opened again.
    func offer(
        exchange: String,
        routingKey: String,
        flags: UInt16,
        properties: [UInt8],
        body: [UInt8]
    ) throws -> Answer {
        write(exchange: exchange, routingKey: routingKey, flags: flags, properties: properties, body: body)
        return try answer()
    }

    /// Calls a method that the broker answers, and returns the answer. If the broker closes the channel, it is opened
    /// again.
    func call(_ classID: UInt16, _ methodID: UInt16, _ write: (inout AMQPBytes) -> Void) throws -> Answer {
        send(classID, methodID, write: write)
        return try answer()
    }

    private func answer() throws -> Answer {
        while let frame = socket.readFrame() {
            guard frame.type == AMQPFrame.method else { continue }
            var reader = AMQPReader(frame.payload)
            switch (reader.short(), reader.short()) {
            // The reply to the selection of confirms.
            case (85, 11): continue
            case (60, 120): return .refused
            case (20, 40):
                send(20, 41)
                send(20, 10, write: { $0.shortString("") })
                try expect(20, 11)
                return .refused
            case (10, 50): return .hungUp
            default: return .accepted
            }
        }
        return .hungUp
    }

    private func write(exchange: String, routingKey: String, flags: UInt16, properties: [UInt8], body: [UInt8]) {
        // Selecting confirms again has no effect. The reply is skipped.
        send(85, 10, write: { $0.octet(0) })
        send(
            60,
            40,
            write: { bytes in
                bytes.short(0)
                bytes.shortString(exchange)
                bytes.shortString(routingKey)
                bytes.octet(0)
            }
        )
        var header = AMQPBytes()
        header.short(60)
        header.short(0)
        header.longlong(UInt64(body.count))
        header.short(flags)
        socket.write(AMQPFrame(type: AMQPFrame.header, channel: 1, payload: header.bytes + properties).encoded)
        socket.write(AMQPFrame(type: AMQPFrame.body, channel: 1, payload: body).encoded)
    }

    /// Consumes a queue exclusively. Returns `.refused` if the queue has another consumer.
    func consumeExclusively(_ queue: String) throws -> Answer {
        try call(60, 20) { bytes in
            bytes.short(0)
            bytes.shortString(queue)
            bytes.shortString("")
            bytes.octet(4)
            bytes.longString([])
        }
    }

    /// Declares a queue that belongs to this connection and ends with it.
    func declareExclusively(_ queue: String) throws -> Answer {
        try call(50, 10) { bytes in
            bytes.short(0)
            bytes.shortString(queue)
            bytes.octet(4)
            bytes.longString([])
        }
    }

    /// Deletes a queue, and nothing that belongs to it.
    static func delete(queue: String, _ configuration: RabbitConfiguration) async throws {
        try await delete(50, 40, queue, configuration)
    }

    /// Deletes an exchange.
    static func delete(exchange: String, _ configuration: RabbitConfiguration) async throws {
        try await delete(40, 20, exchange, configuration)
    }

    private static func delete(
        _ classID: UInt16,
        _ methodID: UInt16,
        _ name: String,
        _ configuration: RabbitConfiguration
    ) async throws {
        let answer = try await run(configuration) { client in
            try client.call(classID, methodID) { bytes in
                bytes.short(0)
                bytes.shortString(name)
                bytes.octet(0)
            }
        }
        #expect(answer == .accepted, "\(name) was not deleted")
    }

    /// Declares a durable queue.
    static func declare(queue: String, type: String? = nil, _ configuration: RabbitConfiguration) async throws {
        var arguments = AMQPBytes()
        if let type {
            arguments.shortString("x-queue-type")
            arguments.octet(UInt8(ascii: "S"))
            arguments.longString(Array(type.utf8))
        }
        let table = arguments.bytes
        let answer = try await run(configuration) { client in
            try client.call(50, 10) { bytes in
                bytes.short(0)
                bytes.shortString(queue)
                bytes.octet(2)
                bytes.longString(table)
            }
        }
        #expect(answer == .accepted, "\(queue) was not declared")
    }

    /// Binds a queue to an exchange.
    static func bind(
        queue: String,
        to exchange: String,
        key: String = "",
        _ configuration: RabbitConfiguration
    ) async throws {
        let answer = try await run(configuration) { client in
            try client.call(50, 20) { bytes in
                bytes.short(0)
                bytes.shortString(queue)
                bytes.shortString(exchange)
                bytes.shortString(key)
                bytes.octet(0)
                bytes.longString([])
            }
        }
        #expect(answer == .accepted, "\(queue) was not bound to \(exchange)")
    }

    /// Removes the binding of a queue to an exchange.
    static func unbind(
        queue: String,
        from exchange: String,
        key: String,
        _ configuration: RabbitConfiguration
    ) async throws {
        let answer = try await run(configuration) { client in
            try client.call(50, 50) { bytes in
                bytes.short(0)
                bytes.shortString(queue)
                bytes.shortString(exchange)
                bytes.shortString(key)
                bytes.longString([])
            }
        }
        #expect(answer == .accepted, "\(queue) was not unbound from \(exchange)")
    }

    /// Removes the binding of an exchange to another one.
    static func unbind(
        exchange: String,
        from source: String,
        key: String,
        _ configuration: RabbitConfiguration
    ) async throws {
        let answer = try await run(configuration) { client in
            try client.call(40, 40) { bytes in
                bytes.short(0)
                bytes.shortString(exchange)
                bytes.shortString(source)
                bytes.shortString(key)
                bytes.octet(0)
                bytes.longString([])
            }
        }
        #expect(answer == .accepted, "\(exchange) was not unbound from \(source)")
    }

    /// Returns the number of events that are ready in a queue, or `nil` if it does not exist.
    static func count(queue: String, _ configuration: RabbitConfiguration) async throws -> Int? {
        try await run(configuration) { try $0.count(queue: queue) }
    }

    /// Returns the number of events that are ready in a queue, or `nil` if it does not exist.
    func count(queue: String) throws -> Int? {
        send(
            50,
            10,
            write: { bytes in
                bytes.short(0)
                bytes.shortString(queue)
                bytes.octet(1)
                bytes.longString([])
            }
        )
        while let frame = socket.readFrame() {
            guard frame.type == AMQPFrame.method else { continue }
            var reader = AMQPReader(frame.payload)
            switch (reader.short(), reader.short()) {
            case (50, 11):
                _ = reader.shortString()
                return Int(reader.long())
            case (20, 40):
                send(20, 41)
                send(20, 10, write: { $0.shortString("") })
                try expect(20, 11)
                return nil
            default: continue
            }
        }
        throw ProcessFailure(command: "queue.declare", status: 0, output: "the broker hung up")
    }

    /// Takes an event out of a queue without settling it. It returns to the queue with the end of the client.
    @discardableResult
    func take(_ queue: String) throws -> (header: [UInt8], body: [UInt8]) {
        try get(queue, isSettled: false)
    }

    /// Takes an event out of a queue, and returns its header frame and its body unchanged.
    func get(_ queue: String) throws -> (header: [UInt8], body: [UInt8]) {
        try get(queue, isSettled: true)
    }

    private func get(_ queue: String, isSettled: Bool) throws -> (header: [UInt8], body: [UInt8]) {
        send(
            60,
            70,
            write: { bytes in
                bytes.short(0)
                bytes.shortString(queue)
                bytes.octet(isSettled ? 1 : 0)
            }
        )
        try expect(60, 71)
        let header = try #require(socket.readFrame()).payload
        return (header, try #require(socket.readFrame()).payload)
    }
}
