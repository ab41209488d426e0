import HTTPTypes
import Hummingbird
import HummingbirdTesting
import Testing

@testable import EventBusServiceKit

@Suite("JSON bodies", .timeLimit(.minutes(1)))
struct DecodeJSONTests {
    private func post(
        _ body: String,
        headers: HTTPFields = [.contentType: "application/json"],
        _ check: @escaping @Sendable (TestResponse) throws -> Void
    ) async throws {
        try await Application(router: Router.service(access: .open, routes: TestShop.addRoutes)).test(.router) {
            client in
            try await client.execute(
                uri: "/orders",
                method: .post,
                headers: headers,
                body: ByteBuffer(string: body),
                testCallback: check
            )
        }
    }

    @Test(
        "A field that is wrong is named by its path, with what it has to be",
        arguments: [
            (#"{"items": []}"#, "customerID", "is missing"),
            (#"{"customerID": null, "items": []}"#, "customerID", "is null, and has to have a value"),
            (#"{"customerID": 7, "items": []}"#, "customerID", "has the wrong type; it has to be a string"),
            (
                #"{"customerID": "c", "items": [{"sku": "a", "quantity": 1}, {"sku": "b", "quantity": "1"}]}"#,
                "items.1.quantity", "has the wrong type; it has to be a whole number"
            ),
            (
                #"{"customerID": "c", "items": [{"sku": "a", "quantity": 1, "gift": 1}]}"#, "items.0.gift",
                "has the wrong type; it has to be true or false"
            ),
            (#"{"customerID": "c", "items": {}}"#, "items", "has the wrong type; it has to be an array"),
            (#"{"customerID": "c", "items": [1]}"#, "items.0", "has the wrong type; it has to be an object"),
            (
                #"{"customerID": "c", "items": [], "labels": {"x": "y"}}"#, "labels.x",
                "has the wrong type; it has to be a number"
            ),
        ]
    )
    func fields(body: String, field: String, problem: String) async throws {
        try await post(body) { response in
            #expect(response.status == .badRequest)
            let document = try JSONObject(String(buffer: response.body))
            #expect(document["title"] == "The body is not valid")
            let error = try #require(document.array("errors")?.first)
            #expect(error["field"] as? String == field && error["problem"] as? String == problem, "\(document)")
            #expect(document["detail"] == "The field \(field) \(problem)")
        }
    }

    @Test(
        "What is not JSON is refused",
        arguments: [
            "", "{", "nonsense", #"{"customerID": "c", "items": [}"#, "\u{0}", String(repeating: "[", count: 900),
            #"{"customerID": "c", "items": [{"sku": "a", "quantity": 1e99}]}"#, "[]", "null", "7",
        ]
    )
    func malformed(body: String) async throws {
        try await post(body) { response in
            #expect(response.status == .badRequest, "\(String(buffer: response.body))")
            #expect(response.headers[.contentType] == "application/problem+json")
        }
    }

    @Test(
        "A body of another type is refused, also one that does not say its type",
        arguments: [
            [:], [.contentType: "text/plain"], [.contentType: "application/jsonp"],
            [.contentType: "application/json; charset=latin1"],
            [.contentType: "application/json", .contentEncoding: "gzip"],
        ] as [HTTPFields]
    )
    func types(headers: HTTPFields) async throws {
        try await post(#"{"customerID": "c", "items": []}"#, headers: headers) { response in
            #expect(response.status == .unsupportedMediaType)
        }
    }

    @Test(
        "JSON is taken under each of its names",
        arguments: [
            "application/json", "Application/JSON; Charset=UTF-8", "application/vnd.shop+json",
            #"application/json;charset="utf-8""#, "application/json ; v=1",
        ]
    )
    func names(type: String) async throws {
        try await post(#"{"customerID": "c", "items": []}"#, headers: [.contentType: type]) { response in
            #expect(response.status == .accepted)
        }
    }

    @Test("A body that is too large is refused, with or without a declared length", arguments: [true, false])
    func tooLarge(saysLength: Bool) async throws {
        let body = #"{"customerID": "\#(String(repeating: "c", count: 1000))", "items": []}"#
        let application = Application(
            router: Router.service(access: .open, routes: TestShop.addRoutes),
            configuration: ApplicationConfiguration(address: .hostname("127.0.0.1", port: 0))
        )
        try await application.test(saysLength ? .live : .router) { client in
            try await client.execute(
                uri: "/orders",
                method: .post,
                headers: [.contentType: "application/json"],
                body: ByteBuffer(string: body)
            ) { response in
                #expect(response.status == .contentTooLarge)
                let document = try JSONObject(String(buffer: response.body))
                #expect(document["detail"] == "The body may have 1000 bytes at most.")
            }
        }
    }
}
