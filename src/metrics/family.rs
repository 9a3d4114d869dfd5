//! Values of one sort, one for each variant of an enum.

/// An enum whose variants can be listed.
pub(crate) trait Variants: Copy + PartialEq + 'static {
    /// Every variant, in the order in which they are shown.
    const ALL: &'static [Self];
}

/// Defines an enum of rows: variant, name. Its list and its names follow from them, so that neither lacks one.
macro_rules! named_variants {
    (
        $(#[$attribute:meta])*
        $visibility:vis enum $enum:ident {
            $($(#[$of_variant:meta])* $variant:ident = $name:literal,)*
        }
    ) => {
        $(#[$attribute])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        $visibility enum $enum {
            $($(#[$of_variant])* $variant,)*
        }

        impl $enum {
            /// Every variant, in the order in which they are shown.
            pub(crate) const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The name, which stays: configurations, dashboards and alerts ask for it.
            pub(crate) fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }

        impl $crate::metrics::Variants for $enum {
            const ALL: &'static [Self] = Self::ALL;
        }
    };
}
pub(crate) use named_variants;

/// One value for each variant of `E`.
#[derive(Debug)]
pub(crate) struct Family<E, T>(Vec<(E, T)>);

impl<E: Variants, T: Default> Default for Family<E, T> {
    fn default() -> Self {
        Self::new(T::default)
    }
}

impl<E: Variants, T> Family<E, T> {
    /// A family of values that `make` makes.
    pub(crate) fn new(make: impl Fn() -> T) -> Self {
        Self(E::ALL.iter().map(|variant| (*variant, make())).collect())
    }

    /// The variant's value. `None` only for a variant that [`Variants::ALL`] leaves out.
    pub(crate) fn of(&self, variant: E) -> Option<&T> {
        self.0.iter().find(|(other, _)| *other == variant).map(|(_, value)| value)
    }

    /// All values with their variants.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (E, &T)> {
        self.0.iter().map(|(variant, value)| (*variant, value))
    }
}
