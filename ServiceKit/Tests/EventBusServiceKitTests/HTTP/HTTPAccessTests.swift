import HTTPTypes
import Hummingbird
import HummingbirdTesting
import Logging
import NIOEmbedded
import Testing

@testable import EventBusServiceKit

struct HTTPAccessTests {
    private static let token = "0123456789abcdef"
    private let access: HTTPAccess

    init() throws {
        access = try HTTPAccess(tokens: "till:\(Self.token),shop:another-token:with=signs")
    }

    private func withClient(_ body: @Sendable (any TestClientProtocol) async throws -> Void) async throws {
        let router = Router.service(access: access, publicPaths: ["/openapi.json"]) { router in
            TestShop.addRoutes(to: router)
            router.get("who") { _, context in context.client }
            router.get("/openapi.json") { _, _ in "{}" }
        }
        try await Application(router: router).test(.router, body)
    }

    private static let requests: [(HTTPRequest.Method, String)] = [
        (.get, "/orders"), (.post, "/orders"), (.get, "/orders/1"), (.delete, "/orders"), (.get, "/nothing"),
        (.get, "/who"), (.head, "/orders"), (.put, "/openapi.json"), (.get, "/openapi.json/x"),
    ]

    @Test func `every request but one that reads a public path requires a token`() async throws {
        try await withClient { client in
            for (method, path) in Self.requests {
                for authorization in [nil, "", "Bearer", "Bearer ", "Bearer \(Self.token)x", "Basic \(Self.token)"] {
                    var headers: HTTPFields = [.contentType: "application/json"]
                    headers[.authorization] = authorization
                    let response = try await client.execute(uri: path, method: method, headers: headers)
                    #expect(response.status == .unauthorized, "\(method) \(path) \(authorization ?? "none")")
                    #expect(response.headers[.wwwAuthenticate] == "Bearer")
                }
            }
            #expect(try await client.execute(uri: "/openapi.json", method: .get).status == .ok)
        }
    }

    @Test func `a token tells the client`() async throws {
        try await withClient { client in
            for (token, name) in [(Self.token, "till"), ("another-token:with=signs", "shop")] {
                let headers: HTTPFields = [.authorization: "bearer \(token)"]
                let response = try await client.execute(uri: "/who", method: .get, headers: headers)
                #expect(String(buffer: response.body) == name)
            }
            var two: HTTPFields = [.authorization: "Bearer \(Self.token)"]
            two.append(HTTPField(name: .authorization, value: "Bearer \(Self.token)"))
            #expect(try await client.execute(uri: "/who", method: .get, headers: two).status == .unauthorized)
        }
    }

    @Test(
        arguments: [
            "", "till", "till:", "till:short", "till:0123456789abcde\u{7F}", ":0123456789abcdef",
            "till:0123456789abcdef,", "till:0123456789abcdef,shop:0123456789abcdef",
            "till:0123456789abcdef,till:0123456789abcdeg", "t l:0123456789abcdef",
        ]
    )
    func `invalid tokens are refused without being shown`(text: String) {
        let error = #expect(throws: ServiceFailure.self) { try HTTPAccess(tokens: text) }
        #expect(error?.description.contains("0123456789") == false)
    }

    @Test func `only the service's own names are accepted as host`() {
        let hosts = AllowedHosts(["Shop.Example", "[fd00::1]"])
        for host in [
            "localhost", "LOCALHOST:8080", "127.0.0.1:1", "[::1]", "[::1]:8080", "shop.example:443", "shop.example:",
            "[fd00::1]:80",
        ] {
            #expect(hosts.contains(host), "\(host)")
        }
        for host in [
            "", ":80", "evil.example", "evil.example:80", "localhost.evil.example", "shop.example.", "localhost:80:80",
            "localhost:x", "a@localhost", "127.0.0.1:123456", "shop.example/", "[::1",
        ] {
            #expect(!hosts.contains(host), "\(host)")
        }
        #expect(AllowedHosts(["*"]).contains("evil.example"))
    }

    @Test func `a request to another host is refused, also for health`() async throws {
        let maker = ServiceRouter.open(hosts: AllowedHosts())
        let router = maker.make(TestShop.addRoutes) { $0.get("health/live") { _, _ in "live" } }
        let responder = router.buildResponder()
        for path in ["/orders", "/health/live"] {
            for (host, status) in [("localhost", 200), ("evil.example", 421)] {
                let request = Request(
                    head: HTTPRequest(method: .get, scheme: "http", authority: host, path: path),
                    body: RequestBody(buffer: ByteBuffer())
                )
                let source = ApplicationRequestContextSource(
                    channel: NIOAsyncTestingChannel(),
                    logger: Logger(label: "test")
                )
                let response = try await responder.respond(to: request, context: ServiceRequestContext(source: source))
                #expect(response.status.code == status)
                #expect(response.headers[.correlationID] != nil)
            }
        }
    }
}
