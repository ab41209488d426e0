import ArgumentParser
import EventBusRabbit
import FoundationEssentials
import Glibc
import TerminalText

/// A client of the broker's management API, over plain HTTP.
struct ManagementClient: Sendable {
    /// A response of the API.
    struct Response: Sendable {
        var status: Int
        /// The broker's time in seconds since 1970, or `nil` if it does not tell.
        var date: Int64?
        var body: Data
    }

    /// The maximum size of a response in bytes.
    private static let maximumSize = 64 << 20

    private let host: String
    private let port: UInt16
    private let prefix: String
    private let authorization: String
    private let timeout: Duration

    /// The address without the password, for errors.
    var place: String { "\(host):\(port)" }

    /// Creates a client. The login is that of the address, or otherwise that of the broker.
    ///
    /// - Parameters:
    ///   - url: The address.
    ///   - configuration: The broker. Its password is not sent without encryption if its own connections are encrypted.
    ///   - isInsecure: `true` if it may be sent nevertheless.
    ///   - timeout: The time for an answer.
    init(
        url: String,
        of configuration: RabbitConfiguration,
        isInsecure: Bool = false,
        timeout: Duration
    ) throws(CommandFailure) {
        let credentials = configuration.credentials
        func invalid(_ reason: String) -> CommandFailure {
            CommandFailure("the address of the management API cannot be used: \(reason)", status: ExitCode(64))
        }
        guard let components = URLComponents(string: url), let host = components.host, !host.isEmpty else {
            throw invalid("it has no host; give one such as http://rabbit.internal:15672")
        }
        guard components.scheme == "http" else {
            throw invalid(
                "only http is supported; for https, give a tunnel to the broker (ssh -L 15672:localhost:15672 "
                    + "\(host.printable))"
            )
        }
        let isProtected = components.password != nil || configuration.tls == nil || Self.isLoopback(host)
        guard isProtected || isInsecure else {
            throw invalid(
                "it would send the broker's password to \(host.printable) without encryption; give a tunnel to the broker (ssh -L "
                    + "15672:localhost:15672 \(host.printable)), another login in the address, or --insecure"
            )
        }
        guard let port = UInt16(exactly: components.port ?? 15672) else { throw invalid("the port is not valid") }
        self.host = host.hasPrefix("[") ? String(host.dropFirst().dropLast()) : host
        self.port = port
        var path = components.percentEncodedPath
        while path.last == "/" { path.removeLast() }
        prefix = path
        let (user, password) = (components.user ?? credentials.user, components.password ?? credentials.password)
        authorization = Data("\(user):\(password)".utf8).base64EncodedString()
        self.timeout = timeout
    }

    /// Returns a Boolean value indicating whether a host is this machine, to which nobody listens.
    private static func isLoopback(_ host: String) -> Bool {
        let bytes = host.split(separator: ".", omittingEmptySubsequences: false).map { UInt8($0) }
        let isAddress = bytes.count == 4 && bytes.first == 127 && bytes.allSatisfy { $0 != nil }
        return isAddress || ["localhost", "::1", "[::1]"].contains(host.lowercased())
    }

    /// Requests a resource. It blocks its thread, which a command has to spare.
    ///
    /// - Parameter path: The path after `/api`.
    func get(_ path: String) throws(CommandFailure) -> Response {
        let deadline = ContinuousClock.now + timeout
        let descriptor = try connect(by: deadline)
        defer { close(descriptor) }
        // With HTTP/1.0 the body ends with the connection.
        let request = """
            GET \(prefix)/api\(path) HTTP/1.0\r
            Host: \(host)\r
            Authorization: Basic \(authorization)\r
            Accept: application/json\r
            \r

            """
        var rest = Array(request.utf8)[...]
        while !rest.isEmpty {
            try wait(descriptor, POLLOUT, deadline)
            let count = rest.withUnsafeBytes { send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            if count < 0, errno == EAGAIN || errno == EINTR { continue }
            guard count > 0 else { throw unreachable(errno) }
            rest = rest.dropFirst(count)
        }
        var answer = Data()
        var buffer = [UInt8](repeating: 0, count: 65536)
        while answer.count <= Self.maximumSize {
            try wait(descriptor, POLLIN, deadline)
            let count = recv(descriptor, &buffer, buffer.count, 0)
            if count < 0, errno == EAGAIN || errno == EINTR { continue }
            guard count >= 0 else { throw unreachable(errno) }
            if count == 0 {
                guard let response = Self.response(answer) else { throw noAPI() }
                return response
            }
            answer.append(contentsOf: buffer[..<count])
        }
        throw noAPI()
    }

    /// The failure for something else than a management API.
    ///
    /// - Parameter answer: What was answered instead. Defaults to nothing that is known.
    func noAPI(_ answer: String? = nil) -> CommandFailure {
        CommandFailure(
            "\(place) does not answer as a management API\(answer.map { ", but with \($0)" } ?? ""); check the port, which is "
                + "15672 by default, and the path",
            status: CommandFailure.unavailable
        )
    }

    private func unreachable(_ number: Int32) -> CommandFailure {
        CommandFailure(
            "the management API at \(place.printable) cannot be reached: \(String(cString: strerror(number))); check the "
                + "address, and that the plugin runs: rabbitmq-plugins enable rabbitmq_management",
            status: CommandFailure.unavailable
        )
    }

    private func wait(_ descriptor: Int32, _ events: Int32, _ deadline: ContinuousClock.Instant) throws(CommandFailure)
    {
        while true {
            let left = ContinuousClock.now.duration(to: deadline)
            var entry = pollfd(fd: descriptor, events: Int16(events), revents: 0)
            // Options limit the timeout to an hour.
            let count = poll(&entry, 1, Int32(max(0, left / .milliseconds(1)).rounded(.up)))
            if count > 0 { return }
            if count < 0, errno != EINTR { throw unreachable(errno) }
            guard left > .zero else {
                throw CommandFailure(
                    "the management API at \(place.printable) did not answer within \(timeout)",
                    status: CommandFailure.noAnswer
                )
            }
        }
    }

    /// Returns a connected socket.
    private func connect(by deadline: ContinuousClock.Instant) throws(CommandFailure) -> Int32 {
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var addresses: UnsafeMutablePointer<addrinfo>?
        let problem = getaddrinfo(host, "\(port)", &hints, &addresses)
        guard problem == 0 else {
            throw CommandFailure(
                "the host \(host.printable) of the management API is unknown: \(String(cString: gai_strerror(problem)))",
                status: CommandFailure.unavailable
            )
        }
        defer { freeaddrinfo(addresses) }
        var failure = unreachable(EHOSTUNREACH)
        var next = addresses
        while let address = next?.pointee {
            next = address.ai_next
            let descriptor = socket(
                address.ai_family,
                address.ai_socktype | Int32(SOCK_NONBLOCK.rawValue) | Int32(SOCK_CLOEXEC.rawValue),
                address.ai_protocol
            )
            guard descriptor >= 0 else { continue }
            var number: Int32 = 0
            if Glibc.connect(descriptor, address.ai_addr, address.ai_addrlen) != 0 {
                number = errno
                if number == EINPROGRESS {
                    do throws(CommandFailure) {
                        try wait(descriptor, POLLOUT, deadline)
                    } catch {
                        close(descriptor)
                        throw error
                    }
                    var length = socklen_t(MemoryLayout<Int32>.size)
                    getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &number, &length)
                }
            }
            if number == 0 { return descriptor }
            failure = unreachable(number)
            close(descriptor)
        }
        throw failure
    }

    /// Parses a response. Returns `nil` if it is not one of HTTP.
    static func response(_ answer: Data) -> Response? {
        guard let end = answer.firstRange(of: Data("\r\n\r\n".utf8)) else { return nil }
        let head = String(decoding: answer[..<end.lowerBound], as: UTF8.self)
        let lines = head.split { $0.isNewline }.map(String.init)
        guard let first = lines.first, first.hasPrefix("HTTP/1."),
            let status = first.split(separator: " ").dropFirst().first.flatMap({ Int($0) })
        else { return nil }
        let date = lines.first { $0.lowercased().hasPrefix("date:") }.flatMap { httpDate(String($0.dropFirst(5))) }
        return Response(status: status, date: date, body: Data(answer[end.upperBound...]))
    }

    /// Returns the seconds since 1970 of a date such as `Mon, 30 Nov 2026 08:19:28 GMT`, or `nil` if it is none.
    static func httpDate(_ text: String) -> Int64? {
        let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
        let parts = text.split(separator: " ").map(String.init)
        guard parts.count == 6, let day = Int32(parts[1]), let month = months.firstIndex(of: parts[2]),
            let year = Int32(parts[3]), (1900...9999).contains(year), parts[5] == "GMT"
        else { return nil }
        let clock = parts[4].split(separator: ":").compactMap { Int32($0) }
        guard clock.count == 3 else { return nil }
        var time = tm()
        (time.tm_year, time.tm_mon, time.tm_mday) = (year - 1900, Int32(month), day)
        (time.tm_hour, time.tm_min, time.tm_sec) = (clock[0], clock[1], clock[2])
        return Int64(timegm(&time))
    }
}
