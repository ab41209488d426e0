import Configuration
import EventBus
import HTTPTypes
import Hummingbird
import HummingbirdTesting
import NIOCore
import ServiceLifecycle
import Synchronization
import Testing

@testable import EventBusServiceKit

extension WholeProcess {
    /// Services in this process without a broker, because nothing listens on port 1.
    @Suite("Running", .timeLimit(.minutes(1)), .serialized)
    struct ServiceRunTests {
        private let directory: TemporaryDirectory
        private let log: LogFile

        init() throws {
            directory = try TemporaryDirectory()
            log = try LogFile()
        }

        private func arguments(_ more: String...) -> [String] {
            [
                "order-service", "--http-open-access", "--http-port", "0", "--rabbitmq-uri",
                "amqp://guest:guest@127.0.0.1:1",
            ] + more
        }

        private func makeRun(_ definition: ServiceDefinition, _ arguments: [String]) async throws -> ServiceRun {
            let configuration = try await ServiceConfiguration(
                flags: CommandLineFlags(arguments, settings: definition.allSettings),
                environment: [:],
                settings: definition.allSettings
            )
            return ServiceRun(
                definition: definition,
                configuration: configuration,
                options: try ServiceOptions(configuration.reader),
                output: log.writer
            )
        }

        private func port() async throws -> Int {
            try await eventually("it listens") { log.lines.contains { $0.contains(#""message":"listening""#) } }
            let line = try #require(log.lines.first { $0.contains(#""message":"listening""#) })
            return try #require(try JSONObject(line)["port"].flatMap { Int($0) })
        }

        /// Returns a GET request. The client's own have no host.
        private static func request(_ path: String) -> TestClient.Request {
            TestClient.Request(path, method: .get, authority: "localhost")
        }

        private func get(_ path: String, port: Int) async throws -> (status: Int, body: String) {
            try await TestClient.withClient(
                host: "127.0.0.1",
                port: port
            ) { client in
                let response = try await client.execute(Self.request(path))
                return (response.status.code, response.body.map { String(buffer: $0) } ?? "")
            }
        }

        @Test("A service that needs no broker is ready without one, and a graceful shutdown closes everything")
        func wholeLife() async throws {
            let order = Mutex<[String]>([])
            let definition = ServiceDefinition.plain { environment, bus in
                #expect(environment.busConfiguration.source == "orders")
                return ServiceAssembly(
                    bus: bus,
                    services: [
                        ClosureService {
                            try await gracefulShutdown()
                            order.withLock { $0.append("relay") }
                        }
                    ],
                    checks: [
                        HealthCheck(isRequired: false) { [ComponentHealth(name: "redis", status: .notReady)] }
                    ],
                    routes: { router in router.get("orders") { _, _ in "[]" } },
                    close: { order.withLock { $0.append("closed") } }
                )
            }
            let run = try await makeRun(definition, arguments("--trace-file", directory.file("trace")))
            let end = ShutdownRequest()
            let running = Task { try await run.run(until: end) }
            let port = try await port()
            try await eventually("it is ready") { try await get("/health/ready", port: port).status == 200 }
            let document = try JSONObject(try await get("/health/ready", port: port).body)
            let components = try #require(document.array("components"))
            func component(_ name: String) -> [String: Any]? { components.first { $0["name"] as? String == name } }
            #expect(component("redis")?["status"] as? String == "notReady")
            #expect(component("bus")?["required"] as? Bool == false)
            #expect(component("transport.rabbitmq.publish")?["status"] as? String == "notReady")
            #expect(try await get("/orders", port: port) == (200, "[]"))
            let metrics = try PrometheusDocument(try await get("/metrics", port: port).body)
            let labels = ["method": "GET", "route": "/orders", "status": "200", "service": "orders"]
            #expect(try #require(metrics.value("http_server_requests_total", labels)) >= 1)
            end.request()
            try await running.value
            #expect(order.withLock { $0 } == ["relay", "closed"])
            await #expect(throws: (any Error).self) { try await get("/orders", port: port) }
            let names = try directory.lines(of: "trace").map { try JSONObject($0)["name"] }
            #expect(names.contains("GET /orders"))
        }

        @Test("A running service asks for tokens, checks the host, and has room for as many bodies as it is set to")
        func protection() async throws {
            let token = String(repeating: "t", count: 40)
            let definition = ServiceDefinition.plain { _, bus in
                ServiceAssembly(
                    bus: bus,
                    routes: { router in
                        router.get("orders") { _, _ in "[]" }
                        router.post("orders") { request, context in
                            let size = 4 << 20
                            return try await request.decodeJSON(String.self, context: context, limit: size)
                        }
                    }
                )
            }
            let protected = [
                "order-service", "--http-tokens", "shop:\(token)", "--http-port", "0", "--http-maximum-body-bytes",
                "\(1 << 20)", "--rabbitmq-uri", "amqp://guest:guest@127.0.0.1:1",
            ]
            let run = try await makeRun(definition, protected)
            let end = ShutdownRequest()
            let running = Task { try await run.run(until: end) }
            let port = try await port()
            func status(
                _ method: HTTPRequest.Method = .get,
                host: String = "localhost",
                token: String? = nil,
                body: String? = nil
            ) async throws -> Int {
                try await TestClient.withClient(host: "127.0.0.1", port: port) { client in
                    var headers: HTTPFields = [.contentType: "application/json"]
                    if let token { headers[.authorization] = "Bearer \(token)" }
                    let request = TestClient.Request(
                        "/orders",
                        method: method,
                        authority: host,
                        headers: headers,
                        body: body.map { ByteBuffer(string: $0) }
                    )
                    return try await client.execute(request).status.code
                }
            }
            #expect(try await status() == 401)
            #expect(try await status(token: "another") == 401)
            #expect(try await status(token: token) == 200)
            #expect(try await status(host: "evil.example", token: token) == 421)
            #expect(try await status(.post, token: token, body: #""a""#) == 200)
            let large = "\"" + String(repeating: "a", count: 2 << 20) + "\""
            #expect(try await status(.post, token: token, body: large) == 503)
            end.request()
            try await running.value
        }

        @Test("While it drains it returns 503 with the reason, and serves current requests")
        func draining() async throws {
            let mayEnd = Signal()
            let definition = ServiceDefinition.plain { _, bus in
                ServiceAssembly(
                    bus: bus,
                    services: [
                        ClosureService {
                            try await gracefulShutdown()
                            await mayEnd.wait()
                        }
                    ],
                    routes: { router in router.get("orders") { _, _ in "[]" } }
                )
            }
            let run = try await makeRun(definition, arguments())
            let end = ShutdownRequest()
            let running = Task { try await run.run(until: end) }
            let port = try await port()
            try await eventually("it is ready") { try await get("/health/ready", port: port).status == 200 }
            end.request()
            try await eventually("it drains") { try await get("/health/ready", port: port).status == 503 }
            #expect(try await get("/health/ready", port: port).body.contains("the service is shutting down"))
            #expect(try await get("/health/live", port: port).status == 200)
            #expect(try await get("/orders", port: port).status == 200)
            mayEnd.raise()
            try await running.value
        }

        @Test("A service that needs the broker is not ready without it, and gives the reason")
        func needsBus() async throws {
            let run = try await makeRun(.plain(needsBus: true), arguments())
            let end = ShutdownRequest()
            let running = Task { try await run.run(until: end) }
            let port = try await port()
            try await eventually("it tells why") {
                let answer = try await get("/health/ready", port: port)
                return answer.status == 503 && answer.body.contains("transport.rabbitmq.publish: ")
            }
            #expect(try await get("/health/live", port: port).status == 200)
            end.request()
            try await running.value
        }

        @Test("A request to end while parts are created is graceful")
        func endWhileStarting() async throws {
            let isMaking = Signal()
            let definition = ServiceDefinition.plain { _, bus in
                isMaking.raise()
                try await Task.sleep(for: .seconds(600))
                return ServiceAssembly(bus: bus)
            }
            let run = try await makeRun(definition, arguments())
            let end = ShutdownRequest()
            let running = Task { try await run.run(until: end) }
            await isMaking.wait()
            end.request()
            try await running.value
        }

        @Test func `parts that were created before the end are closed`() async throws {
            let closings = Mutex(0)
            let end = ShutdownRequest()
            let definition = ServiceDefinition.plain { _, bus in
                end.request()
                return ServiceAssembly(bus: bus, close: { closings.withLock { $0 += 1 } })
            }
            try await makeRun(definition, arguments()).run(until: end)
            #expect(closings.withLock { $0 } == 1)
        }

        @Test("Work that does not end in time is cancelled, and the service ends")
        func shutdownTimeout() async throws {
            let definition = ServiceDefinition.plain { _, bus in
                ServiceAssembly(bus: bus, services: [ClosureService { try await Task.sleep(for: .seconds(600)) }])
            }
            let run = try await makeRun(definition, arguments("--shutdown-timeout", "0.05"))
            let end = ShutdownRequest()
            let running = Task { try await run.run(until: end) }
            _ = try await port()
            end.request()
            try await running.value
            #expect(log.lines.contains { $0.contains("the shutdown took longer than shutdown.timeout") })
        }

        @Test("A failing part ends the others in order, and its error is the service's")
        func failingPart() async throws {
            struct Broken: Error, Equatable {}
            let ended = Signal()
            let definition = ServiceDefinition.plain { _, bus in
                ServiceAssembly(
                    bus: bus,
                    services: [
                        ClosureService {
                            try await gracefulShutdown()
                            ended.raise()
                        },
                        ClosureService { throw Broken() },
                    ]
                )
            }
            let run = try await makeRun(definition, arguments())
            await #expect(throws: Broken()) { try await run.run(until: ShutdownRequest()) }
            await ended.wait()
        }

        @Test("A port in use is named")
        func portInUse() async throws {
            let first = try await makeRun(.plain(), arguments())
            let end = ShutdownRequest()
            let running = Task { try await first.run(until: end) }
            let port = try await port()
            let second = try await makeRun(.plain(), arguments().map { $0 == "0" ? "\(port)" : $0 })
            await #expect(throws: ServiceFailure("cannot listen on 127.0.0.1:\(port): Address already in use")) {
                try await second.run(until: ShutdownRequest())
            }
            end.request()
            try await running.value
        }

        @Test func `further connections wait until one of the allowed ones is closed`() async throws {
            let definition = ServiceDefinition.plain { _, bus in
                ServiceAssembly(bus: bus) { router in router.get("orders") { _, _ in "[]" } }
            }
            let run = try await makeRun(definition, arguments("--http-maximum-connections", "1"))
            let end = ShutdownRequest()
            let running = Task { try await run.run(until: end) }
            let port = try await port()
            let order = Journal()
            let waiting = try await TestClient.withClient(host: "127.0.0.1", port: port) { client in
                _ = try await client.execute(Self.request("/orders"))
                let waiting = Task {
                    try await TestClient.withClient(host: "127.0.0.1", port: port) {
                        _ = try await $0.execute(Self.request("/orders"))
                    }
                    order.append("waiting")
                }
                for _ in 0..<200 {
                    _ = try await client.execute(Self.request("/orders"))
                    order.append("first")
                }
                return waiting
            }
            try await waiting.value
            #expect(order.entries == Array(repeating: "first", count: 200) + ["waiting"])
            end.request()
            try await running.value
        }

        @Test func `connections leave half of the descriptors to the rest of the service`() async throws {
            let definition = ServiceDefinition.plain()
            let run = try await makeRun(definition, arguments("--http-maximum-connections", "1000000"))
            let service = HTTPService(
                responder: ServiceRouter.open().make { _ in }.buildResponder(),
                options: run.options,
                logger: run.logger
            )
            #expect(service.connectionLimit <= HTTPService.descriptorLimit() / 2)
            let small = try await makeRun(definition, arguments("--http-maximum-connections", "1"))
            #expect(
                HTTPService(responder: service.responder, options: small.options, logger: run.logger).connectionLimit
                    == 1
            )
        }

        @Test("Unknown keys of the file cause a warning")
        func unknownKeys() async throws {
            let file = try directory.write(#"{"http": {"prot": 1}}"#, to: "c.json")
            let run = try await makeRun(.plain(), arguments("--config-file", file))
            let end = ShutdownRequest()
            end.request()
            try await run.run(until: end)
            let line = try JSONObject(try #require(log.lines.first))
            #expect(line["level"] == "warning" && line["key"] == "http.prot")
        }
    }
}

/// The order of events in a test.
private final class Journal: Sendable {
    private let state = Mutex<[String]>([])

    var entries: [String] { state.withLock { $0 } }

    func append(_ entry: String) { state.withLock { $0.append(entry) } }
}
