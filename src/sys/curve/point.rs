//! Points of G2 in affine coordinates, and the endomorphism that multiplies them by Z.

use blst::{
    blst_fp, blst_fp2, blst_p2, blst_p2_affine, blst_p2_affine_compress, blst_p2_affine_is_inf,
    blst_p2_affine_on_curve, blst_p2_is_equal, blst_p2s_to_affine,
};
use zeroize::Zeroize;

use super::field::Fp2;
use super::mask::Mask;

/// A point of G2 that is not infinity. Its default is no point, but room for one.
#[derive(Clone, Copy, Default, PartialEq)]
#[repr(C, align(32))]
pub(super) struct Affine {
    pub(super) x: Fp2,
    pub(super) y: Fp2,
}

impl Affine {
    /// The same point in affine coordinates. It is not infinity.
    pub(super) fn of(point: &blst_p2) -> Self {
        let inverse = Fp2(point.z).inverse();
        let square = inverse.squared();
        Self { x: Fp2(point.x).times(&square), y: Fp2(point.y).times(&square.times(&inverse)) }
    }

    /// The same for several points, none of which is infinity, with one inversion.
    pub(super) fn of_all(points: &[blst_p2]) -> Vec<Self> {
        let mut affine = vec![blst_p2_affine::default(); points.len()];
        let first = [points.as_ptr(), std::ptr::null()];
        // SAFETY: no further pointer after the first means that the points lie one after the other; there is room for
        // as many as there are.
        unsafe { blst_p2s_to_affine(affine.as_mut_ptr(), first.as_ptr(), points.len()) };
        affine.iter().map(|point| Self { x: Fp2(point.x), y: Fp2(point.y) }).collect()
    }

    /// Its coordinates as machine words.
    #[inline(always)]
    pub(super) fn words(&self) -> &[u64; WORDS] {
        // SAFETY: the type is a sequence of so many words without padding, and is valid whatever they hold.
        unsafe { &*std::ptr::from_ref(self).cast() }
    }

    #[inline(always)]
    pub(super) fn words_mut(&mut self) -> &mut [u64; WORDS] {
        // SAFETY: as above.
        unsafe { &mut *std::ptr::from_mut(self).cast() }
    }

    pub(super) fn to_blst(self) -> blst_p2_affine {
        blst_p2_affine { x: self.x.0, y: self.y.0 }
    }

    /// The same point as blst reads it.
    pub(super) fn as_blst(&self) -> *const blst_p2_affine {
        const { assert!(size_of::<Self>() == size_of::<blst_p2_affine>()) };
        std::ptr::from_ref(self).cast()
    }

    pub(super) fn to_projective(self) -> blst_p2 {
        blst_p2 { x: self.x.0, y: self.y.0, z: Fp2::one().0 }
    }

    #[inline]
    pub(super) fn negate_if(&mut self, mask: Mask) {
        self.y.negate_if(mask);
    }

    /// Becomes Z times itself: -psi(point), as psi multiplies by the curve's parameter, which is -Z.
    pub(super) fn multiply_by_z(&mut self) {
        self.x = self.x.swapped_and_scaled(&PSI_X);
        self.y.conjugate();
        self.y.multiply_by(&PSI_Y);
        self.y.negate_if(Mask::of_lowest_bit(1));
    }

    /// Becomes Z^2 times itself: psi(psi(point)). There the conjugates are undone, the factors of x become PSI_X^2, and
    /// those of y, PSI_Y and its conjugate, -1.
    pub(super) fn multiply_by_z_squared(&mut self) {
        self.x.scale(&PSI_X_SQUARED);
        self.y.negate_if(Mask::of_lowest_bit(1));
    }

    /// Whether this public point is the same as one of blst's.
    pub(super) fn is_equal_to(&self, other: &blst_p2) -> bool {
        // SAFETY: both are live; the call only reads them.
        unsafe { blst_p2_is_equal(&self.to_projective(), other) }
    }

    /// Whether this public point is the double of another: its opposite lies on the tangent there, and is not that
    /// point. Both are points of the curve.
    pub(super) fn is_double_of(&self, p: &Self) -> bool {
        let square = p.x.squared();
        let rise = square.plus(&square).plus(&square).times(&self.x.minus(&p.x));
        let run = p.y.plus(&p.y).times(&self.y.plus(&p.y));
        rise.plus(&run) == Fp2::default() && self.x != p.x
    }

    /// Whether this public point is the sum of two others, which are neither equal nor opposite: its opposite lies on
    /// the line through the two, and is not one of them. All three are points of the curve.
    pub(super) fn is_sum_of(&self, p: &Self, q: &Self) -> bool {
        let rise = q.y.minus(&p.y).times(&self.x.minus(&p.x));
        let run = q.x.minus(&p.x).times(&self.y.plus(&p.y));
        rise.plus(&run) == Fp2::default() && self.x != p.x && self.x != q.x
    }

    /// The same for the difference.
    pub(super) fn is_difference_of(&self, p: &Self, q: &Self) -> bool {
        // With the opposite of q, whose y is -q.y.
        let rise = q.y.plus(&p.y).times(&self.x.minus(&p.x));
        let run = q.x.minus(&p.x).times(&self.y.plus(&p.y));
        rise == run && self.x != p.x && self.x != q.x
    }

    /// The signature that these coordinates are; none if they are those of no point of the curve or of infinity, as
    /// they are after a fault.
    #[inline(never)] // by its name the checks of constant time know where secrets end
    pub(super) fn signature_if_valid(self) -> Option<SignaturePoint> {
        let point = self.to_blst();
        // SAFETY: the point is live; the call only reads it.
        let is_on_curve = unsafe { blst_p2_affine_on_curve(&point) };
        // SAFETY: as above.
        let is_infinity = unsafe { blst_p2_affine_is_inf(&point) };
        (is_on_curve && !is_infinity).then_some(SignaturePoint(point))
    }
}

/// A signature, public, as a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct SignaturePoint(pub(super) blst_p2_affine);

impl SignaturePoint {
    /// The form in which signatures travel.
    pub(crate) fn compressed(&self) -> [u8; 96] {
        let mut compressed = [0; 96];
        // SAFETY: a compressed G2 point has 96 bytes, the length of `compressed`.
        unsafe { blst_p2_affine_compress(compressed.as_mut_ptr(), &self.0) };
        compressed
    }
}

impl Zeroize for Affine {
    fn zeroize(&mut self) {
        self.x.zeroize();
        self.y.zeroize();
    }
}

/// Words of a point's coordinates.
pub(super) const WORDS: usize = 24;

/// The factor of i in 1 / (1 + i)^((p - 1) / 3), which has no other part (RFC 9380, appendix G.3, c1 of psi).
const PSI_X: blst_fp = blst_fp {
    l: [
        0x890d_c9e4_8675_45c3,
        0x2af3_2253_3285_a5d5,
        0x5088_0866_309b_7e2c,
        0xa20d_1b8c_7e88_1024,
        0x14e4_f04f_e2db_9068,
        0x14e5_6d3f_1564_853a,
    ],
};

const PSI_X_SQUARED: blst_fp = blst_fp {
    l: [
        0xcd03_c9e4_8671_f071,
        0x5dab_2246_1fcd_a5d2,
        0x5870_42af_d385_1b95,
        0x8eb6_0ebe_01ba_cb9e,
        0x03f9_7d6e_83d0_50d2,
        0x18f0_2065_5463_8741,
    ],
};

/// 1 / (1 + i)^((p - 1) / 2) (RFC 9380, appendix G.3, c2 of psi).
const PSI_Y: Fp2 = Fp2(blst_fp2 {
    fp: [
        blst_fp {
            l: [
                0x3e2f_585d_a55c_9ad1,
                0x4294_213d_86c1_8183,
                0x3828_44c8_8b62_3732,
                0x92ad_2afd_1910_3e18,
                0x1d79_4e4f_ac7c_f0b9,
                0x0bd5_92fc_7d82_5ec8,
            ],
        },
        blst_fp {
            l: [
                0x7bcf_a7a2_5aa3_0fda,
                0xdc17_dec1_2a92_7e7c,
                0x2f08_8dd8_6b4e_bef1,
                0xd1ca_2087_da74_d4a7,
                0x2da2_5966_96ce_bc1d,
                0x0e2b_7eed_bbfd_87d2,
            ],
        },
    ],
});
