import ShopData

/// Requests with many kinds of defects, which are the same for the same seed.
struct MalformedRequests {
    /// A request.
    struct Request {
        var bytes: [UInt8]
        /// A Boolean value indicating whether it may be no HTTP at all, so that the connection is unusable afterwards.
        var breaksConnection: Bool
    }

    /// A valid request of a service.
    struct Target {
        var method: String
        var path: String
        var body: String
    }

    static let orders = [
        Target(
            method: "POST",
            path: "/orders",
            body: #"{"customerID":"C1","shipCountry":"X","items":[{"sku":"A","quantity":1,"unitPrice":"1.00"}]}"#
        ),
        Target(method: "GET", path: "/orders?status=placed&limit=5&after=0", body: ""),
        Target(method: "GET", path: "/orders/01", body: ""),
    ]

    static let inventory = [
        Target(method: "PUT", path: "/stock/A-1", body: #"{"quantity":5,"name":"n","unitPrice":"1.00"}"#),
        Target(method: "GET", path: "/stock/A-1", body: ""),
        Target(method: "GET", path: "/stock?limit=5&after=A", body: ""),
    ]

    private static let values = [
        "null", "true", "-1", "0", "1e400", "99999999999999999999", "0.5", "\"\"", "\"\\u0000\"", "\"\\ud800\"", "[]",
        "{}",
        "\"1.00\"", "\"-0.00\"", "\"NaN\"", "\"🦆\"", "[[[[[[[[]]]]]]]]", "\"1e9\"", "tru", "'x'",
    ]
    private static let fields = [
        "customerID", "shipCountry", "items", "sku", "quantity", "unitPrice", "discount", "name",
    ]
    private static let headers = [
        "Idempotency-Key: ", "Idempotency-Key: \u{7F}", "X-Correlation-ID: ü", "Content-Type: text/plain",
        "Content-Type: application/json; charset=utf-16", "Accept: nothing/at-all", "Expect: 100-continue",
        "Content-Encoding: gzip", "Range: bytes=5-1", "traceparent: 00-zz-zz-01", "If-Match: *", "Cookie: a=b; c",
        "Host: [::1", "X-Forwarded-For: 1.2.3.4, , x", "Content-Type: ", "Authorization: Basic ???",
    ]
    private static let methods = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "TRACE", "ORDER", "get"]

    private let targets: [Target]
    private var generator: SeededGenerator

    private let token: String

    /// Creates requests to services that know `token`.
    init(seed: UInt64, targets: [Target], token: String) {
        self.targets = targets
        self.token = token
        generator = SeededGenerator(seed: seed)
    }

    /// Returns the next request.
    mutating func next() -> Request {
        guard var target = targets.randomElement(using: &generator) else {
            return Request(bytes: [], breaksConnection: true)
        }
        var headers: [String] = []
        // Most of them pass the HTTP parser and reach the service's own code.
        switch Int.random(in: 0..<100, using: &generator) {
        case 0..<35: target.body = mutatedJSON(target.body)
        case 35..<50: target.body = mutatedBytes(target.body)
        case 50..<62: target.path = mutatedPath(target.path)
        case 62..<74: headers = Self.headers.shuffled(using: &generator).prefix(2).map { $0 }
        case 74..<84: target.method = Self.methods.randomElement(using: &generator) ?? "GET"
        case 84..<88: headers = [longHeader()]
        default: return brokenHTTP(target)
        }
        if !headers.contains(where: { $0.hasPrefix("Content-Type") }) {
            headers.append("Content-Type: application/json")
        }
        // Most requests pass the check of the token.
        if !headers.contains(where: { $0.hasPrefix("Authorization") }) {
            headers.append("Authorization: Bearer \(token)")
        }
        return Request(bytes: encode(target, headers), breaksConnection: target.method == "HEAD")
    }

    private func encode(_ target: Target, _ headers: [String]) -> [UInt8] {
        let lines = ["\(target.method) \(target.path) HTTP/1.1", "Host: localhost"] + headers
        let head = lines.joined(separator: "\r\n") + "\r\nContent-Length: \(target.body.utf8.count)\r\n\r\n"
        return Array((head + target.body).utf8)
    }

    private mutating func mutatedJSON(_ body: String) -> String {
        let value = Self.values.randomElement(using: &generator) ?? "null"
        let field = Self.fields.randomElement(using: &generator) ?? "items"
        switch Int.random(in: 0..<6, using: &generator) {
        case 0: return value
        case 1: return body.replacing("\"\(field)\":", with: "\"\(field)\":\(value),\"\(field)\":")
        case 2: return body.replacing("\"\(field)\":", with: "\"x\":")
        case 3: return String(body.prefix(Int.random(in: 0...body.count, using: &generator)))
        case 4: return String(repeating: "[", count: Int.random(in: 1...20_000, using: &generator)) + body
        default: return body.replacing("1", with: value)
        }
    }

    private mutating func mutatedBytes(_ body: String) -> String {
        var scalars = Array(body.unicodeScalars)
        for _ in 0..<Int.random(in: 1...8, using: &generator) {
            let scalar = Unicode.Scalar(UInt32.random(in: 0...0x2FFF, using: &generator)) ?? "?"
            if scalars.isEmpty || Bool.random(using: &generator) {
                scalars.append(scalar)
            } else {
                scalars[Int.random(in: 0..<scalars.count, using: &generator)] = scalar
            }
        }
        var view = String.UnicodeScalarView()
        view.append(contentsOf: scalars)
        return String(view)
    }

    private mutating func mutatedPath(_ path: String) -> String {
        let parts = [
            "%00", "%", "%zz", "..", "//", "?", "&", "=", "%ff%fe", "🦆", "limit=-1", "limit=99999999999999999999",
            "a/b",
            String(repeating: "x", count: 5_000), "after=%0d%0a", "status=", "#f", "+",
        ]
        let part = parts.randomElement(using: &generator) ?? "%"
        return Bool.random(using: &generator) ? path + part : path.replacing("s", with: "s\(part)", maxReplacements: 1)
    }

    private mutating func longHeader() -> String {
        let length = Int.random(in: 1...60_000, using: &generator)
        return "X-Correlation-ID: " + String(repeating: "c", count: length)
    }

    private mutating func brokenHTTP(_ target: Target) -> Request {
        let good = encode(target, ["Content-Type: application/json", "Authorization: Bearer \(token)"])
        var bytes: [UInt8]
        switch Int.random(in: 0..<6, using: &generator) {
        case 0: bytes = (0..<200).map { _ in UInt8.random(in: 0...255, using: &generator) }
        case 1: bytes = Array("\(target.method) \(target.path) HTTP/9.9\r\n\r\n".utf8)
        case 2: bytes = Array("\(target.method) \(target.path) HTTP/1.1\r\nContent-Length: -5\r\n\r\n".utf8)
        case 3:
            let chunked = "Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n"
            bytes = Array("\(target.method) \(target.path) HTTP/1.1\r\nHost: x\r\n\(chunked)".utf8)
        case 4: bytes = Array(good.prefix(Int.random(in: 0..<good.count, using: &generator)))
        default:
            bytes = good
            for _ in 0..<5 { bytes[Int.random(in: 0..<bytes.count, using: &generator)] ^= 0x55 }
        }
        return Request(bytes: bytes, breaksConnection: true)
    }
}
