import EventBus
import EventBusRabbit
import EventBusTesting
import Glibc
import Testing

/// A RabbitMQ broker for tests: the one that the environment names, or one that `Scripts/brokers` starts.
struct TestBroker: Sendable {
    /// The URI of the broker.
    var url: String
    /// The directory of `Scripts/brokers` for the broker, or `nil` if the environment names the broker.
    var directory: String?

    /// Returns the broker that tests share. It is started once, and ends with this process.
    static func shared() async throws -> TestBroker {
        try await Shared.broker()
    }

    /// A Boolean value indicating whether `Scripts/brokers` started the shared broker, so that users may be created on
    /// it.
    static var sharedIsOurs: Bool {
        environment("EVENTBUS_TEST_RABBITMQ_URL") == nil || environment("EVENTBUS_TEST_BROKERS") != nil
    }

    private actor Shared {
        private static let instance = Shared()
        private var starting: Task<TestBroker, any Error>?

        static func broker() async throws -> TestBroker { try await instance.broker() }

        private func broker() async throws -> TestBroker {
            if let starting { return try await starting.value }
            let task = Task { () throws -> TestBroker in
                if let url = environment("EVENTBUS_TEST_RABBITMQ_URL") {
                    return TestBroker(url: url, directory: environment("EVENTBUS_TEST_BROKERS"))
                }
                return try await TestBroker.start()
            }
            starting = task
            return try await task.value
        }
    }

    /// Starts a separate broker for tests that harm it. It ends with this process at the latest.
    static func start(configuration: String? = nil) async throws -> TestBroker {
        var variables: [String: String] = [:]
        if let configuration {
            let file = try temporaryFile(containing: configuration)
            variables["EVENTBUS_BROKERS_RABBITMQ_CONF"] = file
        }
        let output = try await run(
            script,
            ["start", "--only", "rabbitmq", "--for", "\(getpid())"],
            environment: variables
        )
        var exports: [String: String] = [:]
        for line in output.split(separator: "\n") where line.hasPrefix("export ") {
            let parts = line.dropFirst("export ".count).split(separator: "=", maxSplits: 1)
            if parts.count == 2 { exports[String(parts[0])] = String(parts[1]) }
        }
        let url = try #require(exports["EVENTBUS_TEST_RABBITMQ_URL"], "no broker: \(output)")
        return TestBroker(url: url, directory: exports["EVENTBUS_TEST_BROKERS"])
    }

    /// Stops the broker and removes its files.
    func stop() async {
        guard let directory else { return }
        _ = try? await run(Self.script, ["stop", directory])
    }

    /// Kills the broker with signal 9.
    func kill() throws { try signal(SIGKILL) }

    /// Sends a signal to the broker's process.
    func signal(_ number: Int32) throws {
        let directory = try #require(directory)
        let text = try #require(contents(of: "\(directory)/rabbitmq.pid"))
        let pid = try #require(pid_t(text.filter(\.isNumber)))
        Glibc.kill(pid, number)
    }

    /// Starts the broker again after it was killed. Returns when its port is open.
    func restart() async throws {
        _ = try await run(Self.script, ["restart-rabbitmq", try #require(directory)])
    }

    /// The path of the broker's log, if `Scripts/brokers` started the broker.
    var log: String? {
        guard let directory, let state = contents(of: "\(directory)/state") else { return nil }
        let node = state.split(separator: "\n").first { $0.hasPrefix("NODE=") }?.dropFirst("NODE=".count)
        return node.map { "\(directory)/log/\($0).log" }
    }

    /// Runs `rabbitmqctl`.
    @discardableResult
    func control(_ arguments: String...) async throws -> String {
        try await run(Self.script, ["ctl", try #require(directory), "-q"] + arguments)
    }

    /// The broker's major version, for what differs between brokers.
    func majorVersion() async throws -> Int {
        let version = try await control("eval", "rabbit_misc:version().").filter { $0.isNumber || $0 == "." }
        return try #require(Int(version.prefix { $0 != "." }), "\(version)")
    }

    /// Creates a virtual host in which the user `guest` may do everything.
    ///
    /// It remains until the broker ends, because deleting its quorum queues takes up to a minute on a busy machine.
    func addVirtualHost(_ name: String) async throws {
        try await control(
            "eval",
            """
            ok = rabbit_vhost:add(<<"\(name)">>, <<"test">>),
            All = <<".*">>,
            ok = rabbit_auth_backend_internal:set_permissions(<<"guest">>, <<"\(name)">>, All, All, All, <<"test">>).
            """
        )
    }

    /// Listens on another port, for clients with a certificate of the authority.
    func listen(withTLSOn port: Int, _ certificates: TestCertificates) async throws {
        try await control(
            "eval",
            """
            application:set_env(rabbit, ssl_options, [
                {cacertfile, "\(certificates.ca)"}, {certfile, "\(certificates.certificate("server"))"},
                {keyfile, "\(certificates.key("server"))"}, {verify, verify_peer}, {fail_if_no_peer_cert, true}]),
            Common = [{"127.0.0.1", \(port)}, rabbit_networking:ensure_ssl(), 4],
            % Newer versions have a number of supervisors as well.
            More = case erlang:function_exported(rabbit_networking, start_ssl_listener, 3) of true -> []; false -> [1] end,
            _ = apply(rabbit_networking, start_ssl_listener, Common ++ More).
            """
        )
        try await eventually("the listener with TLS") { portIsOpen(port) }
    }

    /// Returns a configuration for the broker, with values that suit a test.
    func configuration(_ configure: (inout RabbitConfiguration) -> Void = { _ in }) throws -> RabbitConfiguration {
        var configuration = try RabbitConfiguration(uri: url)
        configuration.newQueueGracePeriod = .zero
        configuration.reconnect = .init(initial: .milliseconds(20), maximum: .milliseconds(200))
        configuration.connectTimeout = .seconds(3)
        configure(&configuration)
        return configuration
    }

    private static var script: String {
        let path = #filePath
        let parts = path.split(separator: "/", omittingEmptySubsequences: false).dropLast(4)
        return (parts + ["Scripts", "brokers"]).joined(separator: "/")
    }
}
