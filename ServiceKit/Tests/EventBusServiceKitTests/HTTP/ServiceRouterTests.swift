import HTTPTypes
import Hummingbird
import HummingbirdTesting
import Logging
import Testing
import Tracing

@testable import EventBusServiceKit

@Suite("Routes", .timeLimit(.minutes(1)))
struct ServiceRouterTests {
    private let registry = MetricsRegistry()
    private let exporter = RecordingExporter()
    private let log: LogFile

    init() throws {
        log = try LogFile()
    }

    private func withClient(_ body: @Sendable (any TestClientProtocol) async throws -> Void) async throws {
        let maker = ServiceRouter.open(
            tracer: ServiceTracer(service: "orders", exporter: exporter),
            metrics: registry
        )
        let application = Application(router: maker.make(TestShop.addRoutes), logger: log.logger())
        try await application.test(.router, body)
    }

    private static let correlation = HTTPField.Name.correlationID

    @Test("A client's correlation id reaches the handler, the log, the span and the response")
    func correlation() async throws {
        try await withClient { client in
            let body = ByteBuffer(string: #"{"customerID": "c", "items": []}"#)
            try await client.execute(
                uri: "/orders",
                method: .post,
                headers: [.contentType: "application/json", Self.correlation: "request 1"],
                body: body
            ) { response in
                #expect(response.status == .accepted)
                #expect(response.headers[Self.correlation] == "request 1")
                #expect(response.headers[.location] == "/orders/1")
                #expect(response.headers[.contentType] == "application/json")
                #expect(String(buffer: response.body) == #"{"customerID":"c","items":[]}"#)
            }
        }
        let line = try JSONObject(try #require(log.lines.first))
        #expect(line["message"] == "placed" && line["correlation-id"] == "request 1")
        #expect(exporter.spans[0].attribute("messaging.message.conversation_id") == .string("request 1"))
    }

    @Test(
        "A correlation id that is missing, too long or not printable is replaced by a new one",
        arguments: [nil, "", String(repeating: "x", count: 256), "ümlaut"]
    )
    func newCorrelation(given: String?) async throws {
        try await withClient { client in
            var headers = HTTPFields()
            if let given { headers[Self.correlation] = given }
            let first = try await client.execute(uri: "/orders", method: .get, headers: headers) { $0.headers }
            let second = try await client.execute(uri: "/orders", method: .get, headers: headers) { $0.headers }
            let id = try #require(first[Self.correlation])
            #expect(id != given && id.count == 36)
            #expect(second[Self.correlation] != id)
        }
    }

    @Test("The longest correlation id is accepted, and two of them are not")
    func correlationBounds() async throws {
        try await withClient { client in
            let longest = String(repeating: "x", count: 255)
            let taken = try await client.execute(
                uri: "/orders",
                method: .get,
                headers: [Self.correlation: longest]
            ) { $0.headers[Self.correlation] }
            #expect(taken == longest)
            var two = HTTPFields()
            two.append(HTTPField(name: Self.correlation, value: "a"))
            two.append(HTTPField(name: Self.correlation, value: "b"))
            let made = try await client.execute(uri: "/orders", method: .get, headers: two) {
                $0.headers[Self.correlation]
            }
            #expect(made?.count == 36)
        }
    }

    @Test(
        "Errors are problem documents",
        arguments: [
            ("/orders/0", HTTPResponse.Status.notFound, "No such order", "There is no order 0."),
            ("/nothing", .notFound, "Not found", "There is nothing at this path."),
            ("/orders/1/2", .notFound, "Not found", "There is nothing at this path."),
            ("/teapot", .conflict, "Conflict", "twice"),
            (
                "/unavailable", .serviceUnavailable, "The service cannot do this at the moment",
                "Something that it depends on cannot be reached. Try again."
            ),
        ]
    )
    func problems(path: String, status: HTTPResponse.Status, title: String, detail: String) async throws {
        try await withClient { client in
            try await client.execute(uri: path, method: .get) { response in
                #expect(response.status == status)
                #expect(response.headers[.contentType] == "application/problem+json")
                #expect(response.headers[Self.correlation]?.isEmpty == false)
                let problem = try JSONObject(String(buffer: response.body))
                #expect(problem["title"] == title && problem["detail"] == detail)
                #expect(problem.int("status") == status.code)
                #expect(problem.members["errors"] == nil)
            }
        }
    }

    @Test("An unexpected error is logged with its reason and reveals nothing to the client")
    func unforeseen() async throws {
        try await withClient { client in
            try await client.execute(uri: "/broken", method: .get, headers: [Self.correlation: "c-1"]) { response in
                #expect(response.status == .internalServerError)
                let text = String(buffer: response.body)
                #expect(text.contains("correlation-id c-1") && !text.contains("Broken"))
            }
        }
        let line = try JSONObject(try #require(log.lines.first))
        #expect(line["level"] == "error" && line["error"] == "Broken()" && line["correlation-id"] == "c-1")
    }

    @Test(
        "A method that a path does not have is answered with those that it has",
        arguments: [
            ("DELETE", "/orders", "GET, HEAD, POST"), ("PUT", "/orders/7", "GET, HEAD"),
            ("BREW", "/orders", "GET, HEAD, POST"), ("OPTIONS", "/orders/", "GET, HEAD, POST"),
        ]
    )
    func methods(name: String, path: String, allowed: String) async throws {
        let method = try #require(HTTPRequest.Method(name))
        try await withClient { client in
            try await client.execute(uri: path, method: method) { response in
                #expect(response.status == .methodNotAllowed)
                #expect(response.headers[.allow] == allowed)
                let problem = try JSONObject(String(buffer: response.body))
                #expect(problem["detail"] == "This path takes \(allowed).")
            }
        }
    }

    @Test("HEAD is answered like GET, without the body")
    func head() async throws {
        try await withClient { client in
            try await client.execute(uri: "/orders", method: .head) { response in
                #expect(response.status == .ok && response.body.readableBytes == 0)
            }
        }
    }

    @Test("Each request is a span, named by method and route, in the caller's trace")
    func spans() async throws {
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736"
        let header = try #require(HTTPField.Name("traceparent"))
        try await withClient { client in
            try await client.execute(
                uri: "/trace",
                method: .get,
                headers: [header: "00-\(trace)-00f067aa0ba902b7-01"]
            ) { #expect(String(buffer: $0.body) == trace) }
            try await client.execute(uri: "/orders/7", method: .get) { _ in }
            try await client.execute(uri: "/broken", method: .get) { _ in }
            try await client.execute(uri: "/nothing", method: .get) { _ in }
            try await client.execute(uri: "/orders", method: .delete) { _ in }
        }
        let spans = exporter.spans
        #expect(
            spans.map(\.name) == [
                "GET /trace", "GET /orders/{id}", "GET /broken", "GET unmatched", "DELETE /orders",
            ]
        )
        #expect(spans.allSatisfy { $0.kind == .server })
        #expect(spans[0].traceID == trace && spans[0].parentID == "00f067aa0ba902b7" && spans[1].parentID == nil)
        #expect(spans[1].attribute("http.request.method") == .string("GET"))
        #expect(spans[1].attribute("http.route") == .string("/orders/{id}"))
        #expect(
            spans.map { $0.attribute("http.response.status_code") } == [200, 200, 500, 404, 405].map { .int64($0) }
        )
        #expect(spans.map { $0.status?.code == .error } == [false, false, true, false, false])
    }

    @Test("Requests are counted and timed by method, route and status, which have few values")
    func metrics() async throws {
        try await withClient { client in
            for number in 1...50 {
                try await client.execute(uri: "/orders/\(number)", method: .get) { _ in }
                try await client.execute(uri: "/no/\(number)", method: .get) { _ in }
                try await client.execute(uri: "/orders", method: #require(.init("M\(number)"))) { _ in }
            }
        }
        let document = try PrometheusDocument(registry.text())
        func count(_ method: String, _ route: String, _ status: String) -> Double? {
            document.value("http_server_requests_total", ["method": method, "route": route, "status": status])
        }
        #expect(count("GET", "/orders/{id}", "200") == 50)
        #expect(count("GET", "unmatched", "404") == 50)
        #expect(count("_OTHER", "/orders", "405") == 50)
        #expect(document.samples.count { $0.name == "http_server_requests_total" } == 3)
        #expect(document.types["http_server_request_duration_seconds"] == "histogram")
    }

    @Test("The router of a service is available to tests")
    func publicRouter() async throws {
        try await Application(router: Router.service(access: .open, routes: TestShop.addRoutes), logger: log.logger())
            .test(.router) {
                client in
                try await client.execute(uri: "/orders/0", method: .get) { #expect($0.status == .notFound) }
            }
    }
}
