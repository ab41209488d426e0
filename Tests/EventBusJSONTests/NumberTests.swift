import EventBusJSON
import FoundationEssentials
import Testing

@Suite("Numbers as JSON")
struct NumberTests {
    private func edges<Value: FixedWidthInteger & Codable>(_ type: Value.Type) throws {
        var values: Set<Value> = [.min, .max, 0, 1, .min + 1, .max - 1]
        var power: Value = 1
        while true {
            values.formUnion([power, power - 1])
            if power > .min + power { values.insert(0 &- power) }
            let (next, overflow) = power.multipliedReportingOverflow(by: 10)
            if overflow { break }
            power = next
        }
        for shift in 0..<Value.bitWidth - 1 { values.formUnion([1 << shift, (1 << shift) - 1, ~(1 << shift)]) }
        for value in values {
            #expect(try text(value) == "\(value)")
            #expect(try text([value]) == "[\(value)]")
            #expect(try EventBusJSONTests.value(Value.self, "\(value)") == value)
            #expect(try EventBusJSONTests.value([Value].self, "[\(value)]") == [value])
            #expect(try EventBusJSONTests.value([String: Value].self, "{\"a\":\(value)e0}") == ["a": value])
            #expect(try EventBusJSONTests.value(Value.self, "\(value).000") == value)
        }
        for outside in ["\(Value.max)0", "\(Value.min)1", "1e40", "0.5", "1e-1", "-1e39"] {
            #expect(throws: DecodingError.self) { try EventBusJSONTests.value(Value.self, outside) }
        }
    }

    @Test("Integers of every width are exact to their bounds")
    func integers() throws {
        try edges(Int8.self)
        try edges(Int16.self)
        try edges(Int32.self)
        try edges(Int64.self)
        try edges(Int.self)
        try edges(Int128.self)
        try edges(UInt8.self)
        try edges(UInt16.self)
        try edges(UInt32.self)
        try edges(UInt64.self)
        try edges(UInt.self)
        try edges(UInt128.self)
    }

    @Test("An integer just beyond its bounds is refused")
    func beyond() {
        for (text, type) in [
            ("128", Int8.self), ("-129", Int8.self), ("256", UInt8.self), ("-1", UInt8.self),
            ("9223372036854775808", Int64.self),
            ("-9223372036854775809", Int64.self), ("18446744073709551616", UInt64.self),
            ("170141183460469231731687303715884105728", Int128.self),
            ("-170141183460469231731687303715884105729", Int128.self),
            ("340282366920938463463374607431768211456", UInt128.self), ("-1", UInt128.self),
        ] as [(String, any Decodable.Type)] {
            #expect(throws: DecodingError.self) { _ = try value(type, text) }
        }
    }

    @Test("An integer type accepts numbers with an integer value, and those that are integers as a double")
    func integerValues() throws {
        #expect(try value(Int.self, "1e3") == 1000)
        #expect(try value(Int.self, "1200e-2") == 12)
        #expect(try value(Int.self, "2.00") == 2)
        #expect(try value(Int64.self, "9007199254740993.0") == 9_007_199_254_740_993)
        #expect(try value(UInt64.self, "1.8446744073709551615e19") == .max)
        #expect(try value(UInt8.self, "-0") == 0)
        #expect(try value(Int64.self, "90071992547409930000000000e-10") == 9_007_199_254_740_993)
        #expect(try value(Int.self, "1.00000000000000000001") == 1)
        #expect(try value(Int.self, "1e-1000") == 0)
        #expect(try value(Int.self, "9007199254740993.5") == 9_007_199_254_740_993)
        for near in ["1.000000000000001", "0.5", "1e-300", "9223372036854775808.5", "-9223372036854775809.5"] {
            #expect(throws: DecodingError.self) { try value(Int.self, near) }
        }
    }

    @Test("Doubles are read as the nearest value")
    func nearest() throws {
        for (text, expected) in [
            ("9007199254740993", 9_007_199_254_740_992),
            ("9007199254740993.0000000000000000000000001", 9_007_199_254_740_994),
            ("2.2250738585072011e-308", .leastNormalMagnitude.nextDown), ("0.1", 0.1),
            ("123456789012345678901234567890", 123456789012345677877719597056),
            ("1.7976931348623158e308", .greatestFiniteMagnitude), ("2.4703282292062328e-324", .leastNonzeroMagnitude),
            ("-0.0", -0.0), ("0e-999", 0),
            ("8.5e22", 8.5e22), ("1e23", 1e23), ("0.000000000000000000000000000001", 1e-30),
        ] as [(String, Double)] {
            #expect(try value(Double.self, text).bitPattern == expected.bitPattern, "\(text)")
        }
        #expect(try value(Float.self, "16777217") == 16_777_216)
        #expect(try value(Float.self, "1.00000017881393432617187499") == 1.0000001)
        #expect(try value(Float.self, "3.4028235e38") == .greatestFiniteMagnitude)
        #expect(throws: DecodingError.self) { try value(Float.self, "1e39") }
        #expect(throws: DecodingError.self) { try value(Float.self, "1e-50") }
    }

    @Test("Doubles are written with the fewest digits, and integers among them without a point")
    func shortest() throws {
        for (value, expected) in [
            (0, "0"), (-0.0, "-0"), (1, "1"), (-1, "-1"), (0.1, "0.1"), (19.99, "19.99"), (-0.0001, "-0.0001"),
            (0.00001, "1e-05"),
            (100.5, "100.5"), (123456.7891, "123456.7891"), (1e15, "1000000000000000"), (1e16, "1e+16"),
            (.leastNonzeroMagnitude, "5e-324"), (0.3, "0.3"),
            (0.1 + 0.2, "0.30000000000000004"), (99999999999.9999, "99999999999.9999"), (1 / 3, "0.3333333333333333"),
            (1234.5, "1234.5"),
        ] as [(Double, String)] {
            #expect(try text(value) == expected)
            #expect(try text([value]) == "[\(expected)]")
        }
        #expect(try text([1.5, 16_777_216, 0.1, -0.0] as [Float]) == "[1.5,16777216,0.1,-0]")
    }

    @Test("Infinities and NaN are errors unless a strategy gives them a representation")
    func nonConforming() throws {
        struct Box: Codable, Equatable { var value: Double, values: [Float] }
        let box = Box(value: .infinity, values: [-.infinity, 1])
        #expect(summary(#expect(throws: EncodingError.self) { try text(box) }!) == "invalid at value")
        #expect(summary(#expect(throws: EncodingError.self) { try text(["a": [1.5, .nan]]) }!) == "invalid at a.1")
        var encoder = EventJSONEncoder()
        encoder.nonConformingFloatEncodingStrategy = .convertToString(
            positiveInfinity: "+",
            negativeInfinity: "-",
            nan: "?"
        )
        var decoder = EventJSONDecoder()
        decoder.nonConformingFloatDecodingStrategy = .convertFromString(
            positiveInfinity: "+",
            negativeInfinity: "-",
            nan: "?"
        )
        #expect(try text(box, encoder) == #"{"value":"+","values":["-",1]}"#)
        #expect(try value(Box.self, text(box, encoder), decoder) == box)
        #expect(try value(Double.self, #""?""#, decoder).isNaN)
        #expect(throws: DecodingError.self) { try value(Box.self, try text(box, encoder)) }
    }

    @Test("Decimal numbers lose nothing")
    func decimals() throws {
        for text in [
            "0", "-1", "0.1", "19.99", "12345678901234567890.123456789012345678", "1e30",
            "-0.0000000000000000000000001",
        ] {
            let decimal = try #require(Decimal(string: text))
            #expect(try value(Decimal.self, text) == decimal)
            #expect(try value(Decimal.self, EventBusJSONTests.text(decimal)) == decimal)
        }
        #expect(throws: EncodingError.self) { try text(Decimal.nan) }
        #expect(throws: DecodingError.self) { try value(Decimal.self, #""1""#) }
        #expect(throws: DecodingError.self) { try value(Decimal.self, "01") }
    }
}
